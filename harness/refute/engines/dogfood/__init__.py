"""refute put to its own use: every command and option is called, in this build and in sabotaged ones."""
