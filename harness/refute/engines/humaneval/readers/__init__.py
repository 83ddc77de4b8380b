"""Files of samples and results as the tools of the field write them, read as they are or refused by their name."""
