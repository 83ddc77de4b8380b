"""Exhibits and inputs of a verdict, read out of evidence: what it shows beside its measurements."""
