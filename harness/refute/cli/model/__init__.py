"""`refute model …`: looks at, tries out and prepares models before anything is published."""
