"""`refute eval`: the HumanEval engine on its own. May import engines."""
