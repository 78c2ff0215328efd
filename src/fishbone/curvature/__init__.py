"""Estimators of the inverse Fisher information matrix."""
