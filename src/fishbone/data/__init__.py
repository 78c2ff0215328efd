"""Named data sources turned into canonical arrays, and partitions of them over devices."""
