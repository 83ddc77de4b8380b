"""The student used as strangers use it: each engine in a fresh environment and process, without a network."""
