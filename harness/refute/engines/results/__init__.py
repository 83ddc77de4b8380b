"""Results that other tools have measured, read item by item: what is missing, doubled or broken is refused by name."""
