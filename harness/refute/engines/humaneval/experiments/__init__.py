"""What a plan may call: each entry takes a Job and leaves evidence in its folder."""
