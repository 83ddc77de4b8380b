"""Falsifiers: what an author touches, how one is found, run in a fork, and recorded.

Imports `spec`, `attest` and the words. The decorator of that name is `refute.falsifier`, for authors.
"""
