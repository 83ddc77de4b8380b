"""Programs to verdicts, verdicts to pass@k."""
