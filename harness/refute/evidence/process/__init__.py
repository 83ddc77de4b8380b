"""The processes that experiments run in: how they start, what they may see, and what they really loaded."""
