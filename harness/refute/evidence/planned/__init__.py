"""The plan of the built-in engines: a table a topic with one row an experiment, and the configuration of each row."""
