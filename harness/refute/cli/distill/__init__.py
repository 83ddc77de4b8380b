"""`refute distill`: the distillation engine on its own. May import engines."""
