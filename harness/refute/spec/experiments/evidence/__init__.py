"""What stands in evidence files, as models: engines write through them, exhibits and commands read through them."""
