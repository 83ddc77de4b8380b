"""Generation by OpenAI-compatible servers and llama.cpp."""
