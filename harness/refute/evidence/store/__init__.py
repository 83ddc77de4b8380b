"""Evidence by digest: kept in a folder, listed, cleaned, packed and carried to other machines.

`Store` is the one in a folder, which `shared` puts before one at a URL; `opening` opens what a person names.
"""

from refute.evidence.store.local import Store

__all__ = ["Store"]
