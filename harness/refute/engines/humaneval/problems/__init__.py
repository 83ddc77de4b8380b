"""Problem files, prompts, and how an answer becomes a program."""
