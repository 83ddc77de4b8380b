"""YAML that cannot surprise: every fault with file, line and key."""
