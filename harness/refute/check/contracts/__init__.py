"""Contracts: formulas about the engines, the properties that attack them, mutants these must kill."""
