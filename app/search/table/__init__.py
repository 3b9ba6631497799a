"""What options cost in quality: measured one at a time, completed, or known beforehand."""
