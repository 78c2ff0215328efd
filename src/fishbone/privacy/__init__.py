"""Attacks on what parties hold, and audits of what they send."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
