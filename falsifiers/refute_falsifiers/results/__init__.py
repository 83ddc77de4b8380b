"""Falsifiers over results of other tools, for any benchmark that a release names: a spec needs no Python for them."""
