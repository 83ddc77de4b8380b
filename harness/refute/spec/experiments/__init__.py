"""Configurations of experiments: one model for the plan that writes one and the engine that reads it.

`distill` and `humaneval` hold the models, an experiment each; `parsing` reads one from a Job. Imports `spec` and words.
"""
