"""Where work runs: the executors, the child process, and the coordinator between rows and work."""
