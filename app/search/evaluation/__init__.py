"""What one trial does: prune, recover, measure."""
