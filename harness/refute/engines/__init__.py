"""The engines, the only rooms with torch. Experiments run them in processes of their own.

Of the commands only eval, distill, model and publish import them. They import words, `attest`, `spec` and
`engines/model`, never each other.
"""
