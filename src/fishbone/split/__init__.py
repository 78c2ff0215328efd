"""A network cut over devices with an exact boundary."""
