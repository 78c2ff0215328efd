"""``fishbone report``: result files of a study → claims.json, tables, figures and one HTML page."""
