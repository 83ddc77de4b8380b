"""Released models in other formats, GGUF above all, and the proofs that these still are the models they were made of.

Imports words, `spec` and `engines/model`.
"""
