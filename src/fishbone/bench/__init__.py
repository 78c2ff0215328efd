"""Measurement of ONNX files on devices: the agent that travels, its tasks, results and statistics."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
