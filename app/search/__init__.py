"""The search: a library without web and without SQL. `run.run` yields what happens; the caller stores and shows."""
