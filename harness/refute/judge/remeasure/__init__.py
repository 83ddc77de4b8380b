"""Records measured again in a process in which nothing of pytest has run."""
