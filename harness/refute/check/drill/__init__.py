"""A fire drill: faults planted between the parts of the live engines, and which falsifiers name them."""
