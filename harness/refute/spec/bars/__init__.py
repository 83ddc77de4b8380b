"""Bars: thresholds with units, and sequential tests."""
