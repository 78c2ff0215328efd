"""Fishbone: learning under tight resources, reproduced end to end."""
