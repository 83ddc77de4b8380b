"""Sabotages of the real engines, applied at run time, and the small world in which they are tried."""
