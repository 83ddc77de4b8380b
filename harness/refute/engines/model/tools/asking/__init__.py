"""A model on this machine, asked in the engine of its format, and what its answers are worth."""
