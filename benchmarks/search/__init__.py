"""The search against its rivals: problems x methods x seeds, one row a run, equal sample-passes, tables included.

Run: `python -m benchmarks.search tabular`, `... digits`, `... resnet20`; the same with `--report` prints the tables.
"""
