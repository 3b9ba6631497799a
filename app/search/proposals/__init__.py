"""Which trials next: from a place on the schedule and coordinates to a plan."""
