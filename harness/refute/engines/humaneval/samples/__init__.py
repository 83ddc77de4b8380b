"""Samples: completions, their logs and files, the sampler, failures to answer."""
