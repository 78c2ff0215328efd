"""A runtime for pruned networks: zero weights cost no time. One C file that a device builds with its own compiler."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
