"""``fishbone bench``: accuracy, parity, latency, memory and size of ONNX classifiers on devices → one JSON each."""
