"""Readers of what trainers leave in binary logs: numbers by step, as they are claimed."""
