"""Rounds over devices and their aggregation."""
