"""Waivers and dates in reports: all of them, used or not, in every format, and no text of theirs does harm."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from rich.console import Console

from refute.judge.predicate.model import Predicate
from refute.judge.verdict import WaiverRuling, WaiverState
from refute.outcome import Severity
from refute.report import REPORTS, render_terminal
from refute.report.view import view_of


def renderings(predicate: Predicate, payload: str) -> dict[str, str]:
    """Every report by format, the terminal's among them."""
    console = Console(file=io.StringIO(), width=200)
    render_terminal(predicate, payload, console)
    assert isinstance(console.file, io.StringIO)
    texts = {name: report.render(predicate, payload) for name, report in REPORTS.items()}
    return texts | {"terminal": console.file.getvalue()}


def test_every_waiver_is_shown_in_every_format(predicate: Predicate, payload: str, hostile: str) -> None:
    """With its state and why; what ends soon or is malformed is also said in words."""
    waivers = (
        WaiverRuling("AC-DISTILL-001", "Ann", hostile, "2026-12-01T00:00:00Z", WaiverState.NOT_NEEDED, "holds", True),
        WaiverRuling("", "", "", "", WaiverState.MALFORMED, f"line 3: reason: missing {hostile}"),
    )
    changed = predicate.model_copy(update={"verdict": replace(predicate.verdict, waivers=waivers)})
    told = " ".join(view_of(changed, payload).warnings)
    assert "The waiver of AC-DISTILL-001 by Ann ends soon, at 2026-12-01T00:00:00Z." in told
    assert "A waiver is malformed and was not applied: no criterion: line 3" in told
    texts = renderings(changed, payload)
    listed = [each["state"] for each in json.loads(texts["json"])["waivers"]]
    assert listed == ["not_needed", "malformed"]
    for name in ("md", "html", "terminal"):
        assert [word for word in ("Waivers, used or not", "not needed", "malformed") if word not in texts[name]] == []
    for text in texts.values():
        assert "\x1b" not in text
    section = texts["md"].partition("## Waivers, used or not")[2].partition("\n## ")[0]
    for text in (section, texts["html"], texts["json"]):
        assert "<img src=x" not in text


def test_without_waivers_nothing_is_said_of_them(predicate: Predicate, payload: str) -> None:
    """An empty heading would read as a list that was lost."""
    texts = renderings(predicate, payload)
    assert json.loads(texts["json"])["waivers"] == []
    assert [name for name in ("md", "html", "terminal") if "Waivers, used or not" in texts[name]] == []


def test_a_date_is_shown_where_the_severity_is(predicate: Predicate, payload: str) -> None:
    """Before it and after it, on every page that names a severity."""
    first, second, *others = predicate.verdict.criteria
    dated = (
        replace(first, severity=Severity.WARN, effective_on="2027-01-31"),
        replace(second, severity=Severity.BLOCK, effective_on="2026-01-31"),
    )
    verdict = replace(predicate.verdict, criteria=(*dated, *others))
    texts = renderings(predicate.model_copy(update={"verdict": verdict}), payload)
    for name in ("md", "html", "terminal"):
        assert "warn, block from 2027-01-31" in texts[name]
        assert "block since 2026-01-31" in texts[name]
    dates = [each["effective_on"] for each in json.loads(texts["json"])["criteria"] if each["effective_on"]]
    assert sorted(dates) == ["2026-01-31", "2027-01-31"]
