"""The command line. Modules load what they need inside commands: `espalier --help` loads nothing heavy."""
