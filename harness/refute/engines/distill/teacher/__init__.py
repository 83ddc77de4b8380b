"""Teachers: loaded models, llama.cpp, a cache of top-k entries, prefetching."""
