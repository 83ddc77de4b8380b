"""Documents for people: Markdown, and one self-contained HTML file. Jinja2 escapes whatever is inserted."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from refute import escaping
from refute.judge.predicate.model import Predicate
from refute.report import wording
from refute.report.diff.comparison import compare_verdicts
from refute.report.diff.tables import headline, tables_of
from refute.report.page import summary
from refute.report.page.answers import problem_views
from refute.report.page.charts import figures
from refute.report.page.costs import costs
from refute.report.page.fitting import fit
from refute.report.page.grid import cells, grid_rows
from refute.report.page.kills import kill_rows
from refute.report.page.pictures import bullet, picture, widths
from refute.report.page.readings import Uses, readings_of, telling, uses_in
from refute.report.view import View, variables_of, view_of

# Cannot occur in inserted text: control characters are written out there.
_CUT = "\f"

_TEMPLATES = Path(__file__).parent / "templates"


class MarkdownReport:
    """GitHub-flavoured Markdown for a pull request: the verdict, why, what next, and a line for each criterion."""

    def render(self, predicate: Predicate, payload_sha256: str) -> str:
        """The document. Whole parts are left out, and named, when it would be too long for a comment."""
        return fit(_parts(predicate, payload_sha256))


@dataclass(frozen=True, slots=True)
class HtmlReport:
    """One HTML file that opens offline: no network, light and dark, fit for print, readable without its script.

    With `before`, an earlier verdict and the digest of its payload, it also shows what changed since.
    """

    before: tuple[Predicate, str] | None = None

    def render(self, predicate: Predicate, payload_sha256: str) -> str:
        """The document. Its content security policy allows its own style and script, by digest, nothing else."""
        view = view_of(predicate, payload_sha256)
        script = _own("report.js")
        names = _page(view) | {
            "script": script,
            "script_digest": _digest(script),
            "difference": difference_of(self.before, predicate, payload_sha256),
        }
        return html_template("report.html.j2").render(names | own_style()).rstrip("\n") + "\n"


def markdown_within(predicate: Predicate, payload_sha256: str, room: int) -> str:
    """The Markdown report in at most `room` bytes of UTF-8 and MARKDOWN_LIMIT characters, if its first part fits."""
    return fit(_parts(predicate, payload_sha256), room)


def _parts(predicate: Predicate, payload_sha256: str) -> list[str]:
    names = _first_screen(view_of(predicate, payload_sha256), uses_in(predicate))
    text = _markdown().get_template("report.md.j2").render(names)
    return [part.strip("\n") for part in text.split(_CUT)]


def _own(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704  # our own file


def own_style() -> dict[str, object]:
    """The style of all pages, and the digest by which their content security policy allows it."""
    style = _own("report.css")
    return {"style": style, "style_digest": _digest(style)}


def html_template(name: str) -> Template:
    """A template of pages: what is inserted is escaped, and has its control characters written out."""
    return _html().get_template(name)


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def difference_of(before: tuple[Predicate, str] | None, predicate: Predicate, payload_sha256: str) -> object:
    """What differs from the verdict `before`, as templates show it; None without one."""
    if before is None:
        return None
    found = compare_verdicts(before[0], predicate, old_payload=before[1], new_payload=payload_sha256)
    return {"headline": headline(found), "regressions": found.regressions, "tables": tables_of(found)}


def _first_screen(view: View, uses: Uses) -> dict[str, object]:
    """What both documents begin with, and a sentence for each criterion."""
    readings = {row.anchor: readings_of(row.records, uses) for row in view.rows}
    return {
        "view": view,
        "decided": summary.decided(view.predicate.verdict),
        "about_the_run": summary.about_the_run(view.predicate.verdict),
        "shortfalls": summary.shortfalls(view, readings),
        "narrowest": summary.narrowest(view, readings),
        "may_ship": summary.may_ship(view.predicate),
        "who_says_so": summary.who_says_so(view.predicate),
        "next_steps": summary.next_steps(view),
        "found": {row.anchor: summary.found_in(row, readings[row.anchor]) for row in view.rows},
        "readings": readings,
    }


def _page(view: View) -> dict[str, object]:
    predicate, exhibits = view.predicate, view.predicate.exhibits
    uses = uses_in(predicate)
    problems = problem_views(exhibits.grids, exhibits.prompts)
    return _first_screen(view, uses) | {
        "figures": figures(exhibits.curves),
        "grid_rows": grid_rows(exhibits.grids),
        "cells": cells(exhibits.grids),
        "problems": problems,
        "anchors": {item.problem: item.anchor for item in problems},
        "kills": kill_rows(view.rows, uses),
        "costs": costs(predicate),
        "picture": picture,
        "bullet": bullet,
        "widths": widths,
        "telling": telling,
    }


@cache
def _html() -> Environment:
    return _environment(_visible)


@cache
def _markdown() -> Environment:
    environment = _environment(_inline_markdown)
    environment.filters["code"] = lambda text: Markup(escaping.markdown_code(text))  # noqa: S704  # escaped there
    environment.filters["literal"] = lambda text: Markup(escaping.visible(text))  # noqa: S704  # our own commands
    environment.filters["fence"] = lambda text: Markup(escaping.markdown_fence(text))  # noqa: S704  # escaped there
    return environment


def _environment(finalize: Callable[[object], object]) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(
        number=wording.number,
        outcome=wording.outcome,
        interval=wording.interval,
        signs=wording.SIGNS,
        cut=Markup(_CUT),  # noqa: S704  # a constant
    )
    environment.filters.update(
        clip=escaping.clip, variables=variables_of, measurement=wording.measurement, waiver=wording.waiver
    )
    return environment


def _visible(value: object) -> object:
    return value if isinstance(value, Markup) else escaping.visible(str(value))


def _inline_markdown(value: object) -> Markup:
    """Escape for Markdown in place of HTML; what a filter has marked as finished passes through."""
    return value if isinstance(value, Markup) else Markup(escaping.markdown(str(value)))  # noqa: S704  # escaped
