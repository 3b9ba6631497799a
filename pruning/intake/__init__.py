"""Intake: somebody's model file becomes a `GraphDocument` and raw tensors. No torch here, and nothing is run.

`archive` opens the zip within limits, `weights` checks the tensors' bytes, `operators` and `spellings` list what
may stand in a graph, `translate`, `calls` and `arguments` check and translate it, `fields` reads JSON that nobody
vouches for, `reader` is the front door. `document` is the only form that is stored and loaded afterwards.
"""
