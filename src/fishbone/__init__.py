"""Fishbone: learning under tight resources, reproduced end to end.

The public names are those of ``__init__.pyi`` here and in the rooms; each is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
