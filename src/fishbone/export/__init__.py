"""Networks as ONNX files: export, its gates, int8, and the facts of any ONNX file."""
