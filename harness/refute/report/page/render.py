"""Documents for people: Markdown, and one self-contained HTML file. Jinja2 escapes whatever is inserted."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from refute import escaping
from refute.judge.predicate.model import Predicate
from refute.report import wording
from refute.report.page.answers import problem_views
from refute.report.page.charts import figures
from refute.report.page.grid import columns, grid_rows, grid_svg
from refute.report.view import View, variables_of, view_of

# GitHub refuses a comment that is longer (HTTP 422).
MARKDOWN_LIMIT = 65_536

# Cannot occur in inserted text: control characters are written out there.
_CUT = "\f"

# Room kept for the line that names what was left out: 15 titles of 80 characters, and words.
_NOTE_ROOM = 2_000
_TEMPLATES = Path(__file__).parent / "templates"


class MarkdownReport:
    """GitHub-flavoured Markdown of at most MARKDOWN_LIMIT characters; the first line is the verdict."""

    def render(self, predicate: Predicate, payload_sha256: str) -> str:
        """The document. Whole parts are left out, and named, when it would be too long."""
        return fit(_parts(predicate, payload_sha256))


class HtmlReport:
    """One HTML file that opens offline: no script, no network, light and dark, fit for print."""

    def render(self, predicate: Predicate, payload_sha256: str) -> str:
        """The document. Its content security policy allows its own style sheet, by digest, nothing else."""
        view = view_of(predicate, payload_sha256)
        style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
        names = _names(view) | {
            "style": Markup(style),  # noqa: S704  # our own file
            "style_digest": digest,
            "grid_svg": grid_svg(predicate.exhibits.grids),
        }
        return _html().get_template("report.html.j2").render(names).rstrip("\n") + "\n"


def markdown_within(predicate: Predicate, payload_sha256: str, room: int) -> str:
    """The Markdown report in at most `room` bytes of UTF-8 and MARKDOWN_LIMIT characters, if its first part fits."""
    return fit(_parts(predicate, payload_sha256), room)


def _parts(predicate: Predicate, payload_sha256: str) -> list[str]:
    text = _markdown().get_template("report.md.j2").render(_names(view_of(predicate, payload_sha256)))
    return [part.strip("\n") for part in text.split(_CUT)]


def _names(view: View) -> dict[str, object]:
    exhibits = view.predicate.exhibits
    return {
        "view": view,
        "figures": figures(exhibits.curves),
        "grid_rows": grid_rows(exhibits.grids),
        "grid_columns": columns(exhibits.grids),
        "problems": problem_views(exhibits.grids, exhibits.prompts),
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


def fit(parts: list[str], room: int | None = None) -> str:
    """The parts in order within MARKDOWN_LIMIT characters, and `room` bytes if given; what does not fit is named.

    The first, which must be short, always stays.
    """
    whole = "\n\n".join(parts) + "\n"
    if _fits(whole, 0, room):
        return whole
    head, kept, left_out = parts[0], list[str](), list[str]()
    for part in parts[1:]:
        (kept if _fits("\n\n".join([head, *kept, part]), _NOTE_ROOM, room) else left_out).append(part)
    return "\n\n".join([head, _left_out(left_out), *kept]) + "\n"


def _fits(text: str, spare: int, room: int | None) -> bool:
    """Whether it fits with `spare` characters to come, of up to 4 bytes each."""
    if len(text) + spare > MARKDOWN_LIMIT:
        return False
    return room is None or len(text.encode("utf-8")) + 4 * spare <= room


def _left_out(parts: list[str]) -> str:
    titles = [part.partition("\n")[0].lstrip("# ") for part in parts]
    named = "; ".join(title[:80] for title in titles[:15])
    more = f"; and {len(titles) - 15} more" if len(titles) > 15 else ""
    why = f"**Left out to stay within {MARKDOWN_LIMIT} characters:**"
    return f"{why} {named}{more}. report.html has everything."
