"""`refute publish …`: what was judged is staged, and given to others."""
