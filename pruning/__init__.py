"""Pruning: tensors and models in, pruned models out.

Read in this order: `patterns`, `layers`, `plan` (the vocabulary, stdlib only); `intake` and `graphnet`
(a model becomes a plain graph); `trace` and `groups` (what can be pruned, and why not the rest);
`importance`, `masks`, `masked` (arithmetic); `pruners` (one paper a file); `recover`, `apply`, `export`.
"""
