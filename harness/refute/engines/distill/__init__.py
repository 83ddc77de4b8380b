"""Knowledge distillation: data/, teacher/, loss/ (with its certificate/), training/, and the experiments/ of a plan.

Imports words, `spec` and `engines/model`. Imported by `cli/distill` and `refute.distill` alone: a plan names its
experiments by strings. A token's way: data/data_loader -> teacher/ -> training/step -> loss/ -> training/trainer.
"""
