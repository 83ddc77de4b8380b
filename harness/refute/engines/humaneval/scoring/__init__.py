"""Programs to results, results to pass@k: executing, early stopping, results files, counts."""
