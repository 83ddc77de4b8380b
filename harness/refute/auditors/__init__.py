"""Auditors measure again what engines claim, with code that the engines share nothing with.

A training run is redone in segments (`training_redo`): its windows, labels, loss, schedule, AdamW and the calls of both
models are written out here a second time, as plainly as their formulas. Nothing of `refute.engines` is imported, and
nothing was in the process that they are forked from, so a fault of the first loop has no way into the second. What both
stand on is torch and transformers; the corpus as the engine cut it, which another audit holds against its files; the
settings as `refute.spec` reads them; and where the trace is sampled (`spec.experiments.custody`).
"""
