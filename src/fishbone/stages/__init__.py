"""One package = one Snakemake rule = one verb: ``params`` (light), ``command`` (light), ``job`` (does the work)."""
