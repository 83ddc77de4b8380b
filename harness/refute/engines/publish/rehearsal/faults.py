"""What goes wrong on the way to a hub and back, as data: at which request, what, and how often."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal

# `status`: answered so, and not done. `drop`: hung up on, and not done. `apply_drop`: done, and hung up on without an
# answer. `apply_status`: done, and answered with an error. `corrupt`: one bit of the bytes is another, as many of them.
# `truncate`: hung up on half way. `intrude`: somebody else commits first. `lose`: done, less one file.
Effect = Literal["status", "drop", "apply_drop", "apply_status", "corrupt", "truncate", "intrude", "lose"]
# The requests by what they are for.
Route = Literal[
    "create",
    "settings",
    "validate",
    "info",
    "preupload",
    "batch",
    "put",
    "lfs_complete",
    "lfs_verify",
    "commit",
    "tree",
    "refs",
    "commits",
    "branch",
    "tag",
    "file",
    "lfs_get",
]
ALWAYS = 10**9


@dataclass(frozen=True, slots=True)
class Fault:
    """`effect` on the requests of `route` after the first `skip` of them, `times` in a row; `status` where it has one.

    `header`: one more that such an answer has.
    """

    route: Route
    effect: Effect
    status: int = 500
    times: int = 1
    skip: int = 0
    header: tuple[str, str] | None = None

    def __str__(self) -> str:
        what = f"{self.effect} {self.status}" if "status" in self.effect else self.effect
        when = "always" if self.times == ALWAYS else "once" if self.times == 1 else f"{self.times} times"
        return f"{self.route}: {what}, {when}{f' after {self.skip}' if self.skip else ''}"


@dataclass(slots=True)
class FaultTable:
    """The faults that are still to come, and how often each route was asked; shared by the threads of a hub."""

    faults: tuple[Fault, ...] = ()
    asked: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, route: Route) -> Fault | None:
        """The fault that this request meets, if it meets one."""
        with self._lock:
            number = self.asked[route] = self.asked.get(route, 0) + 1
        met = (each for each in self.faults if each.route == route)
        return next((each for each in met if each.skip < number <= each.skip + each.times), None)
