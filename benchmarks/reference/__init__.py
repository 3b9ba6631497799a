"""The four reference tasks: a search on each with the defaults, and what ONNX Runtime measures of three of its points."""
