"""One module = one Snakemake rule = one verb of the command line."""
