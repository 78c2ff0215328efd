"""Networks as ONNX files: export, its gates, int8, and the facts of any ONNX file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
