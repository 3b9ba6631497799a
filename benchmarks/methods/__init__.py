"""Every pruner of the library on equal terms: the same weights, data, steps, seeds and sparsities.

Run: `python -m benchmarks.methods digits` or `python -m benchmarks.methods resnet20`; then `... report`.
"""
