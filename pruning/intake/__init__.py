"""Intake: somebody's model file becomes a `GraphDocument` and raw tensors. No torch here, and nothing is run.

`archive` opens the zip within limits, `operators` lists what may stand in a graph, `reader` translates a
`.pt2` archive, `document` is the only form that is stored and loaded afterwards.
"""
