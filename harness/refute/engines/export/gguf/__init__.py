"""One GGUF file of a folder: what llama.cpp needs to know, its vocabulary, and tensors in the formats of a label."""
