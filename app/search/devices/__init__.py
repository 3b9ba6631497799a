"""Several devices and later prices: fleets, re-pricing, and what to expect before the start."""
