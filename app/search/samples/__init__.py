"""What a search learns and is judged from: datasets, batches of them, and how they come from disk."""
