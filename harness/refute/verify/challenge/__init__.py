"""A verdict challenged on another machine: what its auditors do, done again with draws of their own."""
