"""Cost models: shapes and hardware in, milliseconds out. Knows no training.

`base` is the seam, `profile` the document teams upload, `table` prices from its rows, `roofline` from an
`accelerator` in the catalogue; `measure` makes a profile of this machine, `macs` counts.
"""
