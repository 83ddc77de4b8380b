"""What is promised before a run: sign it, show it, check it."""
