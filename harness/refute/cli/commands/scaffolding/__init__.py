"""What `refute init` writes about a model that was trained elsewhere, and about results of other tools."""
