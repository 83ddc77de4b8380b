"""Publishing: what was judged is staged, pushed to a hub, and pulled again by its commit.

Imports words, `spec` and `engines/model`. huggingface_hub is imported here alone.
"""
