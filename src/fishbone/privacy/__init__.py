"""Attacks on what parties hold, and audits of what they send."""
