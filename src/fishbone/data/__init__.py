"""Named data sources turned into canonical arrays, and partitions of them over devices."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
