"""Falsifiers of a student that somebody else has trained: what its files show, and what its trainer claims."""
