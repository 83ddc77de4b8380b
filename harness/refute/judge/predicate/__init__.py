"""The content of a signed verdict, and what must agree inside it."""
