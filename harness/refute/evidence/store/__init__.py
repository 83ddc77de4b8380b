"""Evidence by digest: kept in a folder, listed, cleaned, packed and carried to other machines.

`Store` is the one in a folder; `layout` says what lies in it.
"""

from refute.evidence.store.local import Store

__all__ = ["Store"]
