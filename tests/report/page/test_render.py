"""Documents must carry the whole verdict, show hostile text as text, and load nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from markdown_it import MarkdownIt

from refute.judge.predicate.exhibits import Exhibits
from refute.judge.predicate.model import Predicate
from refute.judge.verdict import CriterionRuling, FalsifierRuling
from refute.outcome import Outcome, Severity
from refute.report import REPORTS, HtmlReport
from refute.report.page.fitting import MARKDOWN_LIMIT
from refute.report.wording import number

_VOID = {"meta", "br", "col", "link", "img", "input", "hr"}
_LOADERS = {"img", "iframe", "link", "object", "embed", "video", "audio", "image", "use", "base", "form"}


_OWN = ("style", "script")


def _between(html: str, tag: str) -> str:
    return html.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, content or "") for name, content in attrs]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def values(self, tag: str, name: str) -> list[str]:
        return [content for where, what, content in self.attributes if (where, what) == (tag, name)]


@pytest.fixture(scope="module")
def html(predicate: Predicate, payload: str) -> str:
    """The sample as HTML."""
    return REPORTS["html"].render(predicate, payload)


@pytest.fixture(scope="module")
def page(html: str) -> _Page:
    """The sample's HTML, parsed."""
    return _Page(html)


@pytest.fixture(scope="module")
def markdown(predicate: Predicate, payload: str) -> str:
    """The sample as Markdown."""
    return REPORTS["md"].render(predicate, payload)


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_report_names_every_criterion_and_the_payload(name: str, predicate: Predicate, payload: str) -> None:
    """Every criterion, the subject digest and the payload digest are in every format."""
    text = REPORTS[name].render(predicate, payload)
    ids = [ruling.criterion for ruling in predicate.verdict.criteria]
    assert [one for one in (*ids, payload, predicate.subject.sha256) if one not in text] == []


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_report_is_deterministic(name: str, predicate: Predicate, payload: str) -> None:
    """A predicate read back from its own JSON gives the same bytes: a report can be checked by rendering again."""
    again = Predicate.model_validate_json(predicate.model_dump_json())
    assert REPORTS[name].render(again, payload) == REPORTS[name].render(predicate, payload)


def test_html_is_well_formed(page: _Page, predicate: Predicate) -> None:
    """Every element is closed in order, and ids are unique; every falsifier is in it."""
    ids = [content for _, name, content in page.attributes if name == "id"]
    assert page.open == []
    shown = "".join(page.text)
    assert all(each.falsifier in shown for row in predicate.verdict.criteria for each in row.falsifiers)
    assert len(ids) == len(set(ids))


def test_html_loads_nothing_and_runs_its_own_script_alone(page: _Page, html: str) -> None:
    """No element fetches; there is one script, no handler, no inline style, and links stay in the page."""
    assert set(page.tags) & _LOADERS == set()
    assert page.tags.count("script") == 1
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|eval|fetch|XMLHttp|import|src\b", _between(html, "script")
    )
    names = {name for _, name, _ in page.attributes}
    assert [name for name in names if name.startswith("on")] == []
    assert names & {"style", "src", "srcset", "action"} == set()
    assert all(target.startswith("#") for target in page.values("a", "href"))
    style = _between(html, "style")
    assert not re.search(r"url\(|@import|https?:", style)


def test_html_policy_allows_its_own_style_and_script_and_nothing_else(page: _Page, html: str) -> None:
    """The policy's digests are those of the style sheet and the script in the file; all else falls under 'none'."""
    allowed = {tag: base64.b64encode(hashlib.sha256(_between(html, tag).encode()).digest()).decode() for tag in _OWN}
    policy = page.values("meta", "content")[0]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{allowed['style']}'; script-src 'sha256-{allowed['script']}';"
        " base-uri 'none'; form-action 'none'"
    )


def test_html_links_lead_somewhere(page: _Page) -> None:
    """Every link within the page has its target."""
    ids = {content for _, name, content in page.attributes if name == "id"}
    assert {target[1:] for target in page.values("a", "href")} <= ids


def test_html_shows_hostile_text_as_text(page: _Page, html: str) -> None:
    """The model's markup is shown to the reader character by character and is never markup of the page."""
    assert "<img" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html
    shown = "".join(page.text)
    assert "</script><img src=x onerror=alert(1)> | ``` {{7*7}}" in shown
    assert "\\x1b[31mred" in shown


def test_html_begins_with_the_verdict(page: _Page) -> None:
    """Title and first heading begin with it, in words, and it is the only first-level heading."""
    shown = "".join(page.text)
    assert shown.count("NO-GO: ") == 2
    assert "NO-GO: The release was not shown to meet its specification. Of 7 criteria that can stop it, 2" in shown
    assert page.tags.count("h1") == 1


def test_html_shows_every_measurement_exactly(predicate: Predicate, page: _Page) -> None:
    """Each measurement's machine-readable value is the predicate's, digit for digit."""
    measured = [item.value for record in predicate.records for item in record.measurements]
    shown = [float(content) for content in page.values("data", "value")]
    assert sorted(shown) == sorted(measured)


def test_html_tables_have_headers(page: _Page) -> None:
    """Every header cell says what it heads."""
    scopes = page.values("th", "scope")
    assert len(scopes) == page.tags.count("th")
    assert set(scopes) == {"col", "row", "rowgroup"}


def test_markdown_begins_with_the_verdict(markdown: str) -> None:
    """The first line is the verdict, as a heading."""
    assert markdown.startswith("# NO-GO: The release was not shown to meet its specification. Of 7 criteria that can")


def test_markdown_is_short_enough_for_a_pull_request(predicate: Predicate, markdown: str) -> None:
    """A screen or two: what fills the page (answers, curves, evidence, digests) stays there."""
    assert len(markdown) < 800 * len(predicate.verdict.criteria)
    assert markdown.count("\n") < 60


def test_markdown_holds_only_our_own_structure(markdown: str) -> None:
    """Parsed, it has no link, no image, no HTML, and no heading that a model wrote."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    inline = [child for token in tokens for child in token.children or []]
    kinds = {token.type for token in [*tokens, *inline]}
    assert kinds & {"link_open", "image", "html_block", "html_inline"} == set()
    headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    assert [text for text in headings if text.startswith("GO")] == []
    assert "\x1b" not in markdown
    assert "{{7\\*7}}" in markdown


def test_markdown_tables_keep_their_columns(predicate: Predicate, markdown: str) -> None:
    """Text with pipes and newlines leaves five cells in each row of the criteria table."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    table = tokens[next(index for index, token in enumerate(tokens) if token.type == "table_open") :]
    table = table[: next(index for index, token in enumerate(table) if token.type == "table_close")]
    assert sum(token.type == "td_open" for token in table) == 5 * len(predicate.verdict.criteria)
    contents = [token.content for token in table if token.type == "inline"]
    assert [content for content in contents[5::5] if "AC-DISTILL-" not in content] == []


def test_markdown_is_cut_at_parts_and_keeps_the_verdict(predicate: Predicate, payload: str) -> None:
    """Too much text costs whole parts, which are named; verdict and later small parts stay."""
    faults = tuple("x" * 390 + str(number) for number in range(200))
    text = REPORTS["md"].render(predicate.model_copy(update={"record_faults": faults}), payload)
    assert len(text) <= MARKDOWN_LIMIT
    assert text.startswith("# NO-GO: ")
    assert "**Left out to stay within 65536 characters:** Read with care." in text
    assert "## Why" in text
    assert "## Criteria" in text


@pytest.mark.slow
def test_markdown_stays_within_its_limit_for_hundreds_of_failures(predicate: Predicate, payload: str) -> None:
    """However many criteria fail with however long reasons, the text fits and begins with the verdict."""
    criteria = tuple(
        CriterionRuling(
            "S",
            f"AC-{index}",
            "*" * 500,
            Severity.BLOCK,
            1,
            Outcome.FALSIFIED,
            False,
            (FalsifierRuling(f"F-{index}", Outcome.FALSIFIED, "|" * 5_000),),
        )
        for index in range(400)
    )
    reasons = tuple(ruling.falsifiers[0].reason for ruling in criteria)
    verdict = replace(predicate.verdict, criteria=criteria, reasons=reasons, decided_by="AC-0")
    text = REPORTS["md"].render(predicate.model_copy(update={"verdict": verdict}), payload)
    assert len(text) <= MARKDOWN_LIMIT
    assert text.startswith("# NO-GO: The release was not shown to meet its specification. Of 400 criteria that can")
    assert payload in text


@pytest.mark.parametrize(
    ("amount", "written"),
    [(500.0, "500"), (3 / 164, "0.0182927"), (-0.412345678901, "-0.412346"), (2.5e-11, "2.5e-11"), (0.0, "0")],
)
def test_number_keeps_six_digits(amount: float, written: str) -> None:
    """Numbers read without noise and differ from the measured value by less than a millionth of it."""
    assert number(amount) == written
    assert float(written) == pytest.approx(amount, rel=1e-5)


def test_html_shows_prompt_answer_and_reason_of_every_problem(page: _Page, predicate: Predicate) -> None:
    """Behind disclosures that need no script; what was cut says so and names the digest of the whole."""
    text = " ".join(page.text)
    assert page.tags.count("details") >= 1 + 164
    for grid in predicate.exhibits.grids:
        for answer in grid.answers:
            assert answer.characters == len(answer.completion) or answer.completion_sha256 in text
    assert "Cut: the first 400 of 120,000 characters." in text
    assert text.count("Contamination: none of its word n-grams in the tokens that were trained on.") == 1
    assert text.count("Contamination: 12 of its word n-grams") == 1
    assert "    return a + b\n" in page.text
    assert "It wrote nothing." in text
    assert "AssertionError at: assert candidate(2)" in text
    assert "</script><img src=x onerror=alert(1)>" in text, "as text, and never as a tag"


def test_html_shows_what_changed_since_an_earlier_verdict(predicate: Predicate, payload: str, html: str) -> None:
    """Only where one is given: a verdict does not hold the one before it."""
    assert "A verdict does not hold the one before it." in html
    first, *others = predicate.verdict.criteria
    better = replace(predicate.verdict, criteria=(replace(first, outcome=Outcome.CORROBORATED), *others))
    earlier = predicate.model_copy(update={"verdict": better})
    page = HtmlReport((earlier, "0" * 64)).render(predicate, payload)
    assert "NO-GO -&gt; NO-GO: 1 regression" in page
    assert f"{first.criterion}" in page.partition('id="before"')[2].partition("</section>")[0]


def test_a_grid_whose_answers_do_not_match_its_problems_shows_none(predicate: Predicate, payload: str) -> None:
    """One answer too few could put every text beside the wrong problem."""
    (first, *_) = predicate.exhibits.grids
    short = first.model_copy(update={"answers": first.answers[:-1]})
    changed = predicate.model_copy(update={"exhibits": Exhibits(grids=(short,), prompts=predicate.exhibits.prompts)})
    html = REPORTS["html"].render(changed, payload)
    assert "Prompts and answers" not in html
    assert "Problem by problem" in html
