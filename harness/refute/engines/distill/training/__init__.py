"""The training run: build, preflight, step, loop, evaluation, checkpoints, results."""
