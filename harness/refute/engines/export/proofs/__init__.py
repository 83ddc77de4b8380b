"""Whether a file still is the model that it was made of, by other programs than the one that made it."""
