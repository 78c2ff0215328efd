"""Measurement of ONNX files on devices: the agent that travels, its tasks, results and statistics."""
