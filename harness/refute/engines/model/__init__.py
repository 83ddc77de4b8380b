"""Models as both engines open them: folders, GGUF files, tokenizers, lineage.

Imported by every engine; imports words and `spec`.
"""
