"""A reader for each tool's files: strict about what it means, and about nothing else that stands there."""
