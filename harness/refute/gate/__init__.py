"""The pytest session of `pytest --falsifiers`: selection, items, progress, and the judge at its end.

Imports everything below `cli`.
"""
