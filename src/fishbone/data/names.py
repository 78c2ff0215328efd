"""Names that parameters have for data: the sources, and the partitions of samples over devices.

This module is light: parameters of stages are checked with it before anything else is imported.
"""

# Those of `fishbone.data.sources`, in the order of its tables.
NAMED = ("mnist5k", "digits", "mnist", "fashion-mnist", "cifar10", "svhn", "tiny-imagenet")
LOCATED = ("parquet", "folder", "npz")

_POSITIVE = r"([0-9]*[1-9][0-9]*(\.[0-9]+)?|[0-9]*\.[0-9]*[1-9][0-9]*)"
PARTITION = rf"^(iid|shards-[1-9][0-9]*|(dirichlet|quantity)-{_POSITIVE})$"
