"""The distillation engine: teacher providers, KD loss, data, trainer, checkpoint.

`kd_loss` is public here, but loaded on first use: the gate plans, judges and reports on machines and in
processes that never train, and importing torch would cost each of them seconds and hundreds of mebibytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refute.engines.distill.loss.kd_loss import KdLoss, kd_loss


__all__ = ["KdLoss", "kd_loss"]


def __getattr__(name: str) -> object:
    """Import `refute.engines.distill.loss.kd_loss` when one of its public names is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it exports {', '.join(__all__)}")
    from refute.engines.distill.loss import kd_loss as loss

    return getattr(loss, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
