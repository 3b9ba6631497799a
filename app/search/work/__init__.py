"""Trials on an executor: what they are sent, what they bring back, and what they cost."""
