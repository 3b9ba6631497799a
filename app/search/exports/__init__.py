"""How a trial's model leaves: its forms, the checks between them, and its passport."""
