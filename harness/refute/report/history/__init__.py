"""Many verdicts side by side: which there are, how each measurement went from one to the next, and any two compared."""
