"""The four reference tasks: a search on each with the defaults, and three of its points measured by ONNX Runtime."""
