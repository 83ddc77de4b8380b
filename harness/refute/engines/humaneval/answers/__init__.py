"""Whole answers of chat models: what in them is the answer, which of its code is meant, and what was left out."""
