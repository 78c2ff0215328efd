"""Snakemake, DVC and MLflow: parameters, sources, hashes, tracking."""
