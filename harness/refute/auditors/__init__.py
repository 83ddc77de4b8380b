"""Auditors measure again what engines claim, with code that the engines share nothing with.

A training run is redone in segments (`training_redo`): its windows, labels, loss, schedule, AdamW and the calls of both
models are written out here a second time, as plainly as their formulas. Nothing of `refute.engines` is imported, so a
fault of the first loop has no way into the second; torch and transformers are what both stand on.
"""
