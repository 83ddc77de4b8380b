"""Experiments from outside: the configuration of each, for plan and engine, and the evidence of each, for its readers.

`distill` and `humaneval` hold the configurations, which `parsing` reads from a Job; `evidence_files` names what is
written, `evidence/` says what stands in it; `custody` is what a training run keeps for those who redo
it. Imports `spec` and words.
"""
