"""The built-in falsifiers of SPEC-DISTILL-001, one topic a file. They import only refute's public API.

A verdict names a falsifier by the digest of its file and of the helpers beside it, whose names begin with `_`. The
mutants of `refute controls --mutate` are changes of the file alone, so what is measured stands there.
"""
