"""Generation in this process, with transformers models: batches, KV cache, sampling."""
