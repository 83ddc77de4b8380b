"""Pre-registration: what was promised before a run, and whether the run kept it.

Imports `evidence` and what lies below.
"""
