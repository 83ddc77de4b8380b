"""The built-in falsifiers of SPEC-DISTILL-001, one topic a file. They import only refute's public API."""
