"""What a signed verdict is worth to somebody else: signature, subject, freshness, policy.

Imports `judge` and what lies below, no `report`.
"""
