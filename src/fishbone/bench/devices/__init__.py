"""Devices: how each is reached. Whatever goes wrong on the way is an outcome with a status, not an exception."""
