"""Training: build.py sets a run up, preflight.py refuses what cannot end well, trainer.py takes the steps.

Beside it what a step uses (step, optimizer, parallel, ranks, evaluate) and what it leaves (checkpoint, first_step,
audit_trail, results). Only experiments/ and the command line start a run.
"""
