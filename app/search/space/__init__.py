"""What may be pruned and what it costs: options, prices, limits, and prices that hang together."""
