"""A hub on this machine alone: the protocol of the Hugging Face hub as it was recorded, with faults by table.

It speaks to huggingface_hub's own client, over LFS and not Xet, and keeps what it is given in one folder.
"""
