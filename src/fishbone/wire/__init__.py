"""How two parties talk: messages, who may send what to whom, errors, actors, and what carries the messages."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
