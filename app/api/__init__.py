"""REST: one thin module a noun, five-line handlers. Knows the store and the vocabulary; no torch, no optuna."""
