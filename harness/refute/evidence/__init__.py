"""What is expensive: planned, run in processes of its own, filed by digest.

Imports `falsifier`, `spec` and what lies below; no engine, whose functions it names by strings.
"""
