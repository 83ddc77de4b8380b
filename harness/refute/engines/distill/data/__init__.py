"""From texts to batches: documents, decontamination, tokenisation, token shards; dataset, batch order, packing.

data_loader.py is what training asks; corpus.py and tokenize.py are the two ways to make what it reads. How much of a
benchmark was trained on is measured apart, by experiments/contamination.py.
"""
