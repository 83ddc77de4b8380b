"""From texts to batches: documents, decontamination, token shards, packing, order."""
