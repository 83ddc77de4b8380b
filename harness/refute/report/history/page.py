"""The pages over many verdicts: all of them with what moved, and two of them compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from refute.outcome import Ruling
from refute.report.history.series import Entry, histories
from refute.report.history.trend import trend
from refute.report.page import summary
from refute.report.page.render import difference_of, html_template, own_style

# A ruling in the colours of an outcome.
_LOOKS: Final = {Ruling.GO: "corroborated", Ruling.WARN: "inconclusive", Ruling.NO_GO: "falsified"}


def render_history(folder: str, entries: Iterable[Entry], unread: Sequence[str]) -> str:
    """The verdicts that verified, release by release, and of each other file why it is not shown."""
    names = {
        "folder": folder,
        "releases": histories(entries),
        "unread": unread,
        "looks": _LOOKS,
        "decided": summary.decided,
        "named": summary.named,
        "trend": trend,
    }
    return html_template("history.html.j2").render(names | own_style())


def render_comparison(old: Entry, new: Entry) -> str:
    """What `new` has that `old` had not, regressions first, as `refute diff` says it."""
    found = difference_of((old.predicate, old.payload_sha256), new.predicate, new.payload_sha256)
    return html_template("compared.html.j2").render({"difference": found} | own_style())
