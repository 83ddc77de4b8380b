"""The files of models that both engines open: GGUF files and tokenizers."""
