"""How close cost models come to figures that nobody here made up. `python -m benchmarks.fidelity`."""
