"""Statements of those who used a released model with a key of their own: made, read, demanded."""
