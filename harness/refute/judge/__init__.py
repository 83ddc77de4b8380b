"""Records to verdict: the algebra, and the content of what is signed."""

from refute.judge.algebra import judge

__all__ = ["judge"]
