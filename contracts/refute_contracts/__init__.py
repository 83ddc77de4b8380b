"""Properties of the contracts beside this package, and the mutants that they must kill."""
