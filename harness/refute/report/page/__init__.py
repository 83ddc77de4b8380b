"""HTML and Markdown pages of a verdict."""
