"""The KD loss, in tiles, with its gradients written out."""
