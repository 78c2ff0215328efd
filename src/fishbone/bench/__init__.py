"""Measurement of ONNX files on devices: the agent that travels, its jobs, results and statistics."""
