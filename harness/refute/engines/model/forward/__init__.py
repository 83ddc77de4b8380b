"""An independent forward in float64 numpy, which shares no code with transformers."""
