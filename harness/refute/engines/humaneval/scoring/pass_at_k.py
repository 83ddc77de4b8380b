"""pass@k: the unbiased estimator of Chen et al. 2021."""

from __future__ import annotations

import math
from fractions import Fraction


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased estimate of the chance that one of `k` samples passes, from `c` passes among `n` samples.

    1 - C(n-c, k) / C(n, k), Chen et al. 2021 (arXiv 2107.03374), eq. 1, in exact integers and rounded once.
    Raises ValueError unless 0 <= c <= n and 1 <= k <= n.
    """
    if not 0 <= c <= n:
        raise ValueError(f"c={c} passes among n={n} samples: expected 0 <= c <= n")
    if not 1 <= k <= n:
        raise ValueError(f"k={k} with n={n} samples: expected 1 <= k <= n")
    return float(1 - Fraction(math.comb(n - c, k), math.comb(n, k)))
