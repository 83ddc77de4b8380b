"""The folder of one run: what pytest left for the judge."""
