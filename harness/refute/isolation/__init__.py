"""Interpreters that nothing of the judged repository, or of the shell that started it, has touched."""
