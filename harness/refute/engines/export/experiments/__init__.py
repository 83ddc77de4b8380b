"""Experiments: the student in other formats, and whether these are still the student."""
