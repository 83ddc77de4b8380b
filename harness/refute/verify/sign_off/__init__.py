"""Reviewers' signatures: made, read, counted."""
