"""``fishbone export``: networks' weights → checked ONNX files and their facts as JSON."""
