"""The parameters a server takes: one refused by name is renamed or left out, where that changes no sample."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping

# How servers say that they do not know a parameter.
_REFUSAL = re.compile(r"unsupported|unknown|unrecogni[sz]ed|unexpected|extra|not (?:supported|permitted|allowed)", re.I)
_OTHER_NAMES = {"max_tokens": "max_completion_tokens"}

# Without a seed samples are still drawn, and stops are only sent to save time. A budget and a temperature are kept to.
_DISPENSABLE = ("seed", "stop")
# At temperature 0 nothing is drawn.
_OF_DRAWING = ("top_p",)


class Parameters:
    """What one server was found to take. Several threads may ask at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._renamed: dict[str, str] = {}
        self._left_out: set[str] = set()

    def of(self, body: Mapping[str, object]) -> dict[str, object]:
        """`body` as this server takes it."""
        with self._lock:
            return {self._renamed.get(name, name): value for name, value in body.items() if name not in self._left_out}

    def learn(self, refusal: str, sent: Mapping[str, object]) -> bool:
        """Whether `refusal` of what was `sent` names a parameter that can be sent otherwise; from now on it is."""
        renamed = _OTHER_NAMES if _REFUSAL.search(refusal) else ()
        # What is not needed need not be understood, either.
        needless = (*_DISPENSABLE, *(_OF_DRAWING if sent.get("temperature") == 0 else ()))
        named = [name for name in (*renamed, *needless) if name in sent and _names(refusal, name)]
        with self._lock:
            for name in named:
                if name in _OTHER_NAMES:
                    self._renamed[name] = _OTHER_NAMES[name]
                else:
                    self._left_out.add(name)
        return bool(named)

    @property
    def words(self) -> tuple[str, ...]:
        """What is sent otherwise than it was meant, for the evidence."""
        with self._lock:
            renamed = [f"{name} sent as {other}" for name, other in sorted(self._renamed.items())]
            return (*renamed, *(f"{name} left out" for name in sorted(self._left_out)))


def _names(refusal: str, parameter: str) -> bool:
    return re.search(rf"(?<![A-Za-z_]){parameter}(?![A-Za-z_])", refusal) is not None
