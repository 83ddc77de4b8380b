"""What is written beside a model: its card, every number of which is read from evidence, and its bill of materials."""
