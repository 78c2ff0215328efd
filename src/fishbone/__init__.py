"""Fishbone: learning under tight resources, reproduced end to end."""

__version__ = "0.1.0"
