"""The built-in falsifiers of SPEC-DISTILL-001, one topic a file. They import only refute's public API.

No file takes helpers from another: a verdict names a falsifier by the digest of its one file, and the mutants of
`refute controls --mutate` are changes of that file. So a few lines stand in two of them.
"""
