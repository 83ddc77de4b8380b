"""What is asked of a build of refute, a probe a file; each says what it looked at and what it found."""
