"""Shows that the KD loss in use is the KD loss: values, gradients and laws against float64."""
