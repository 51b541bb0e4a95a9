"""What processes know together."""
