"""What is checked without running a release: specs, contracts, traceability, controls.

Imports everything below `gate`.
"""
