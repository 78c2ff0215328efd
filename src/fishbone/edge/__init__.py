"""ONNX export, its gates, and measurement on devices."""
