"""Execution of untrusted programs, in which completion and tests never share a process."""
