"""The stage ``prepare``: a named data source as the one file that every stage reads."""
