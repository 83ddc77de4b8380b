"""The verdict on the console: a panel and a table where there is a terminal, plain lines where there is none."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from refute.escaping import clip
from refute.judge.predicate.model import Predicate
from refute.outcome import Outcome
from refute.report.layout import Layout
from refute.report.sentences import training
from refute.report.view import Row, View, view_of
from refute.report.wording import SIGNS, measurement, outcome, waiver

_COLOURS = {"GO": "green", "WARN": "yellow", "NO-GO": "red"}

_OUTCOME_COLOURS = {
    Outcome.CORROBORATED: "green",
    Outcome.NOT_APPLICABLE: "default",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.NOT_RUN: "yellow",
    Outcome.SKIPPED: "yellow",
    Outcome.TIMEOUT: "red",
    Outcome.ERROR: "red",
    Outcome.FALSIFIED: "red",
}

_REASON_LIMIT = 240

# A shell reads a command on, so that one in several lines can still be pasted.
_CONTINUED = " \\"


def render_terminal(predicate: Predicate, payload_sha256: str, console: Console) -> None:
    """Print the verdict, why, what was not run, and every criterion, within the console's width.

    Without a terminal, in a narrow one, or when colour is refused (NO_COLOR), it prints wrapped lines and draws no
    boxes. What the console's encoding lacks is spelt out first, so that this counts, too.
    """
    view, layout = view_of(predicate, payload_sha256), Layout(console)
    shows_colour = console.is_terminal and not console.no_color and not console.is_dumb_terminal
    if shows_colour and layout.is_wide:
        _print_rich(view, console, layout)
    else:
        for line in _plain(view, layout):
            console.print(Text(line), soft_wrap=True)


def _print_rich(view: View, console: Console, layout: Layout) -> None:
    colour = _COLOURS[view.word]
    about = [layout.text(line, "dim") for line in (_about(view), clip(view.preregistration, _REASON_LIMIT))]
    lines = [layout.text(clip(view.because, _REASON_LIMIT), "bold"), *about]
    title = Text(f" {view.word} ", style=f"bold reverse {colour}")
    console.print(Panel(Group(*lines), title=title, title_align="left", border_style=colour, box=box.HEAVY))
    for heading, items in _lists(view):
        console.print(Text(heading, style="bold"))
        for item in items:
            console.print(Text("\n".join(layout.wrapped(f"  {item}", "    "))))
        console.print()
    console.print(_table(view, layout))
    for line in _closing(view, layout):
        console.print(Text(line), soft_wrap=True)


def _table(view: View, layout: Layout) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("criterion", overflow="fold", min_width=17, max_width=24)
    table.add_column("outcome", no_wrap=True)
    table.add_column("what was found", overflow="fold", ratio=1)
    table.add_column("controls", no_wrap=True, justify="right")
    for row in view.rows:
        ruling = row.ruling
        table.add_row(
            layout.text(f"{clip(ruling.criterion, 60)}\n({row.severity})"),
            layout.text(f"{SIGNS[ruling.outcome]} {row.outcome}", _OUTCOME_COLOURS[ruling.outcome]),
            layout.text("\n".join(_found(row))),
            layout.text(_controls(row)),
        )
    return table


def _plain(view: View, layout: Layout) -> Iterable[str]:
    yield from layout.wrapped(clip(view.headline, _REASON_LIMIT), "  ")
    yield from layout.wrapped(_about(view), "  ")
    yield from layout.wrapped(clip(view.preregistration, _REASON_LIMIT), "  ")
    for heading, items in _lists(view):
        yield ""
        yield from layout.wrapped(heading)
        for item in items:
            yield from layout.wrapped(f"  {item}", "    ")
    yield ""
    yield from layout.wrapped("Criteria, worst first:")
    for row in view.rows:
        ruling = row.ruling
        line = f"  {clip(ruling.criterion, 60)} ({row.severity}): {row.outcome}, controls {_controls(row)}"
        yield from layout.wrapped(line, "    ")
        for found in _found(row):
            yield from layout.wrapped(f"    {found}", "      ")
    yield ""
    yield from _closing(view, layout)


def _about(view: View) -> str:
    release, verdict = view.predicate.release, view.predicate.verdict
    tally = ", ".join(f"{amount} {word}" for word, amount in view.tally) or "no criterion"
    controls = f"{verdict.controls_behaved} of {verdict.controls_total} controls behaved"
    seen = f", {found}" if (found := training(view.predicate)) else ""
    return f"release {clip(release.id, 60)}, run class {release.run_class.value}{seen}; {tally}; {controls}"


def _lists(view: View) -> Iterable[tuple[str, list[str]]]:
    yield from ((heading, items) for heading, items in _all_lists(view) if items)


def _all_lists(view: View) -> Iterable[tuple[str, list[str]]]:
    yield "Why:", [clip(reason, _REASON_LIMIT) for reason in view.reasons]
    not_run = [f"{row.ruling.criterion} ({row.severity}): {row.outcome}" for row in view.not_run]
    if view.sections_not_run:
        not_run.append("dogfood sections " + ", ".join(str(item.number) for item in view.sections_not_run))
    yield "Not run:", [clip(item, _REASON_LIMIT) for item in not_run]
    yield (
        "Controls that misbehaved:",
        [
            clip(
                f"{item.falsifier}, control {item.control.name}: had to be {outcome(item.control.expected)}, "
                f"was {outcome(item.control.observed)}",
                _REASON_LIMIT,
            )
            for item in view.misbehaving
        ],
    )
    yield "Waivers, used or not:", [clip(waiver(each), _REASON_LIMIT) for each in view.predicate.verdict.waivers]
    yield "Read with care:", [clip(warning, _REASON_LIMIT) for warning in view.warnings]


def _found(row: Row) -> list[str]:
    """The deciding reasons, then every number that they do not quote."""
    found = [clip(reason, _REASON_LIMIT) for reason in row.reasons]
    found += [clip(measurement(item), _REASON_LIMIT) for item in row.unsaid]
    return found or ["nothing was found"]


def _controls(row: Row) -> str:
    return f"{row.controls_behaved}/{row.controls_total}"


def _closing(view: View, layout: Layout) -> Iterable[str]:
    yield from layout.wrapped(f"payload sha256 {clip(view.payload_sha256, 64)}")
    yield from layout.wrapped("report.html, report.md and report.json lie beside verdict.intoto.json. To check it:")
    yield from layout.wrapped(f"  {view.verify_commands[0]}", "    ", end=_CONTINUED)
