"""The engines, the only rooms with torch. Experiments run them in processes of their own.

Only `cli/eval` and `cli/distill` import them; they import words, `spec` and `engines/model`, never each other.
"""
