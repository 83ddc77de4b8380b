"""Does every number of the card stand in evidence of this very release, and is nothing on it invented or left open?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable, stats

_CARD, _CLAIMS = "release/README.md", "claims.jsonl"
# Numbers that are no claim are parts of names; a fenced block is a command, and not a statement.
_NUMBER = re.compile(r"(?<![\w.@/-])\d[\d,]*(?:\.\d+)?(?=[BMK]?(?![\w/-]))", re.IGNORECASE)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_METADATA = re.compile(r"\A---\n(.*?)^---$", re.MULTILINE | re.DOTALL)
_OPEN = re.compile(r"\[More Information Needed\]|\bTODO\b|\bTBD\b|\bFIXME\b|\{\{|<your[ _-]|lorem ipsum", re.I)
_UNITS = {"unresolved": "numbers", "wrong": "claims", "stale": "claims", "placeholders": "places", "facts": "facts"}
_RIGHT = dict.fromkeys(_UNITS, 0)

# ------------------------------------------------------------------------------------------------ what a claim must be


def _share(content: Mapping[str, Any]) -> float:
    return 100.0 * float(content["pass_at_1"])


def _end(side: str) -> Any:
    def read(content: Mapping[str, Any]) -> float:
        return float(getattr(stats.wilson_interval(content["passed"], content["problems"]), side))

    return read


# By id, the evidence of each number and how it is read: not as the card says, but as it must be.
_STUDENT, _SCORE, _INIT = "student", "humaneval_student", "humaneval_init"
_WANTED: Mapping[str, tuple[str, str, Any]] = {
    "parameters": (_STUDENT, "summary.json", lambda content: content["parameters"]),
    "teacher_parameters": ("lineage", "lineage.json", lambda content: content["teacher"]["parameters"]),
    "steps": (_STUDENT, "summary.json", lambda content: content["steps"]),
    "tokens": (_STUDENT, "summary.json", lambda content: content["supervised_tokens"]),
    "loss": (_STUDENT, "summary.json", lambda content: content["final_heldout_ce"]),
    "loss_before": (_STUDENT, "summary.json", lambda content: content["initial_heldout_ce"]),
    "distance": (_STUDENT, "summary.json", lambda content: content["final_heldout_kl"]),
    "problems": (_SCORE, "summary.json", lambda content: content["problems"]),
    "passed": (_SCORE, "summary.json", lambda content: content["passed"]),
    "score": (_SCORE, "summary.json", _share),
    "score_low": (_SCORE, "summary.json", _end("low")),
    "score_high": (_SCORE, "summary.json", _end("high")),
    "score_of_init": (_INIT, "summary.json", _share),
}
_FORMATS, _FORMAT_SCORES = "humaneval_formats", "formats.json"
_OF_A_FORMAT = {
    "problems": lambda content: content["problems"],
    "score": _share,
    "score_low": _end("low"),
    "score_high": _end("high"),
}


def _wanted(context: Context) -> dict[str, tuple[str, str, Any]]:
    """The claims that a card must make, those of each format among them."""
    files = context.evidence(_FORMATS).json(_FORMAT_SCORES)["files"]
    own = {f"{each['label']} {name}": _of_label(each["label"], name) for each in files for name in _OF_A_FORMAT}
    return {**_WANTED, **{name: (_FORMATS, _FORMAT_SCORES, read) for name, read in own.items()}}


def _of_label(label: str, name: str) -> Any:
    return lambda content: _OF_A_FORMAT[name](next(each for each in content["files"] if each["label"] == label))


# ------------------------------------------------------------------------------------------------ controls

_EVIDENCE: Mapping[tuple[str, str], Mapping[str, Any]] = {
    (_STUDENT, "summary.json"): {
        "parameters": 49_500_000,
        "steps": 500,
        "supervised_tokens": 15_500,
        "final_heldout_ce": 2.25,
        "initial_heldout_ce": 4.5,
        "final_heldout_kl": 0.75,
    },
    ("lineage", "lineage.json"): {"teacher": {"parameters": 134_515_008}},
    (_SCORE, "summary.json"): {"problems": 164, "passed": 41, "pass_at_1": 0.25},
    (_INIT, "summary.json"): {"problems": 164, "passed": 0, "pass_at_1": 0.0},
    ("humaneval_formats", "formats.json"): {
        "files": [
            {"label": "F16", "problems": 20, "passed": 6, "pass_at_1": 0.3},
            {"label": "Q4_0", "problems": 20, "passed": 5, "pass_at_1": 0.25},
        ]
    },
}
_PUBLICATION: Mapping[str, Any] = {
    "name": "student-2",
    "licence": "apache-2.0",
    "teacher": {"repo": "org/teacher-135M", "licence": "apache-2.0"},
    "init": None,
    "card": {"summary": "A model of 6 layers.", "languages": ["en"], "datasets": [], "tags": []},
}


def _shown(bench: Bench) -> dict[str, dict[str, Any]]:
    """The claims that evidence bears, once that is laid out."""
    context, found = bench.context(), {}
    for name, (need, file, read) in _wanted(context).items():
        evidence = context.evidence(need)
        value, decimals = float(read(evidence.json(file))), 0 if "." not in str(read(evidence.json(file))) else 3
        place = {"evidence": need, "file": file, "sha256": evidence.files[file]}
        found[name] = {"id": name, "text": f"{value:,.{decimals}f}", "decimals": decimals, **place}
    return found


def _card(
    bench: Bench,
    *,
    claims: Mapping[str, Mapping[str, Any]] | None = None,
    metadata: Mapping[str, Any] | None = None,
    added: Sequence[str] = (),
    boasts: Sequence[Mapping[str, Any]] = (),
    **wrong: int,
) -> None:
    """A card and its claims, less what `claims` and `metadata` say otherwise; with the lines `added`, claims `boasts`.

    `wrong` says what that comes to; more is added where the bars want more of it, or of the rest.
    """
    more = {name: _more(bench, name, own, failing=name in wrong) for name, own in (_RIGHT | wrong).items()}
    for (need, file), content in _EVIDENCE.items():
        bench.put(need, file, content)
    bench.put("release", "release.json", {"release": "r-1", "publication": _PUBLICATION})
    found = {name: {**row, **(claims or {}).get(name, {})} for name, row in _shown(bench).items()}
    loss = _shown(bench)["loss"]
    found |= {f"wrong_{n}": {**loss, "id": "loss", "text": "9.999"} for n in range(more["wrong"])}
    found |= {f"stale_{n}": {**loss, "id": "loss", "sha256": "0" * 64} for n in range(more["stale"])}
    found |= {str(row["id"]): dict(row) for row in boasts}
    told = {
        "license": "apache-2.0",
        "language": ["en"],
        "base_model": ["org/teacher-135M"],
        "base_model_relation": "finetune",
        "model-index": _index(float(found["score"]["text"])),
        **(metadata or {}),
    }
    spoilt = [
        key for key in ("license", "language", "base_model", "base_model_relation") if key not in (metadata or {})
    ]
    told |= dict.fromkeys(spoilt[: more["facts"]], "another")
    lines = [f"| {row['id']} | {row['text']} |" for row in found.values()]
    lines += [*added, *["TODO"] * more["placeholders"], *[f"{7000 + n}" for n in range(more["unresolved"])]]
    head = "".join(f"{key}: {json.dumps(value)}\n" for key, value in told.items() if value is not None)
    text = f"---\n{head}---\n\n# student-2\n\nA model of 6 layers.\n\n```sh\nrun --tokens 64\n```\n"
    bench.put("staged", _CARD, text + "\n".join(lines) + "\n")
    bench.put("staged", _CLAIMS, list(found.values()))


def _index(score: float) -> list[dict[str, Any]]:
    return [{"name": "student-2", "results": [{"metrics": [{"type": "pass@1", "value": score}]}]}]


def _more(bench: Bench, measurement: str, own: int, *, failing: bool) -> int:
    """How many are to be added to `own`, for the bar of this measurement to be failed, or cleared."""
    bar, most = bench.bar(measurement), own + 4 if measurement == "facts" else 10_000
    return int((bar.failing if failing else bar.holding)(own, low=own, high=most, whole=True)) - own


def as_measured(bench: Bench) -> None:
    """Every number is the evidence's; names, commands and the summary have numbers of their own."""
    _card(bench)


def a_tenth_more(bench: Bench) -> None:
    """The score is a tenth of a point better than it was."""
    _card(bench, claims={"score": {"text": "25.1", "decimals": 1}}, wrong=1)


def another_parameter_count(bench: Bench) -> None:
    """The card says 50 million of 49.5."""
    _card(bench, claims={"parameters": {"text": "50,000,000"}}, wrong=1)


def the_better_end_of_the_interval(bench: Bench) -> None:
    """The upper end stands where the lower should."""
    _card(bench, claims={"score_low": {"text": "32.0", "decimals": 1}}, wrong=1)


def the_score_of_another_format(bench: Bench) -> None:
    """The smallest file is said to solve what the largest does."""
    _card(bench, claims={"Q4_0 score": {"text": "30.000"}}, wrong=1)


def rounded_to_look_better(bench: Bench) -> None:
    """2.25 is shown as 2.20."""
    _card(bench, claims={"loss": {"text": "2.20", "decimals": 2}}, wrong=1)


def of_another_run(bench: Bench) -> None:
    """The number is of a file that this run has not: it was read before the last training."""
    _card(bench, claims={"loss": {"sha256": "0" * 64}}, stale=1)


def a_claim_of_another_kind(bench: Bench) -> None:
    """A number that is said to be evidence's, and that no falsifier knows how to find there."""
    row = {"id": "mbpp", "text": "61.3", "decimals": 1, "sha256": "0" * 64}
    _card(bench, boasts=(row,), wrong=1)


def a_number_without_evidence(bench: Bench) -> None:
    """The card boasts of what nobody measured."""
    _card(bench, added=("On MBPP it reaches 61.3 percent.",), unresolved=1)


def a_rounded_size(bench: Bench) -> None:
    """A number with the letter of its thousands is a number."""
    _card(bench, added=("A model of 370m parameters.",), unresolved=1)


def a_placeholder(bench: Bench) -> None:
    """What the hub's own template leaves open."""
    _card(bench, added=("[More Information Needed]",), placeholders=1)


def a_variable_left_over(bench: Bench) -> None:
    """A template that was not filled in."""
    _card(bench, added=("Trained by {{ developers }}.",), placeholders=1)


def another_licence(bench: Bench) -> None:
    """The metadata names another licence than the release."""
    _card(bench, metadata={"license": "mit"}, facts=1)


def no_base_model(bench: Bench) -> None:
    """Nobody learns what it was distilled from."""
    _card(bench, metadata={"base_model": None}, facts=1)


def a_merge_of_models(bench: Bench) -> None:
    """A relation to its base that it has not."""
    _card(bench, metadata={"base_model_relation": "merge"}, facts=1)


def another_score_in_the_metadata(bench: Bench) -> None:
    """What leaderboards read is not what the text says."""
    _card(bench, metadata={"model-index": _index(52.0)}, facts=1)


def an_empty_index(bench: Bench) -> None:
    """A model index without a result."""
    _card(bench, metadata={"model-index": []}, facts=1)


def a_claim_that_is_missing(bench: Bench) -> None:
    """The score is left out: what is bad may not be passed over."""
    _card(bench)
    rows = [row for name, row in _shown(bench).items() if name != "score"]
    bench.put("staged", _CLAIMS, rows)


def no_metadata(bench: Bench) -> None:
    """A card that no hub can read."""
    _card(bench)
    bench.put("staged", _CARD, "# student-2\n")


@falsifier(
    "publication-card",
    needs=("staged", "release", "student", "lineage", "humaneval_student", "humaneval_init", "humaneval_formats"),
    measures=_UNITS,
    controls=(
        known_good(as_measured),
        *(known_bad(build) for build in (a_tenth_more, another_parameter_count, the_better_end_of_the_interval)),
        *(known_bad(build) for build in (rounded_to_look_better, of_another_run, a_number_without_evidence)),
        *(known_bad(build) for build in (a_rounded_size, a_claim_of_another_kind)),
        known_bad(the_score_of_another_format),
        *(known_bad(build) for build in (a_placeholder, a_variable_left_over, another_licence, no_base_model)),
        *(known_bad(build) for build in (a_merge_of_models, another_score_in_the_metadata, an_empty_index)),
        known_unusable(a_claim_that_is_missing, raises=ValueError),
        known_unusable(no_metadata, raises=ValueError),
    ),
)
def publication_card(context: Context) -> Iterator[Measurement]:
    """Refuted when a number of the card is no claim, a claim is not what the evidence says, to the digits that are
    shown, or is of another run's file; when something was left open; when the metadata is not the release's."""
    staged = context.evidence("staged")
    text = staged.path(_CARD).read_text(encoding="utf-8")
    claims = staged.rows(_CLAIMS)
    wanted = _wanted(context)
    if missing := wanted.keys() - {row["id"] for row in claims}:
        raise ValueError(f"the card says nothing of {', '.join(missing)}")
    publication = context.evidence("release").json("release.json")["publication"]
    numbers = _numbers(text, publication)
    resolved = {row["text"] for row in claims}
    facts = _facts(_metadata(text), publication, next(row for row in claims if row["id"] == "score"))
    yield Measurement("unresolved", sum(each not in resolved for each in numbers), "numbers", n=max(len(numbers), 1))
    yield Measurement("wrong", sum(_is_wrong(context, wanted, row) for row in claims), "claims", n=len(claims))
    yield Measurement("stale", sum(_is_stale(context, wanted, row) for row in claims), "claims", n=len(claims))
    yield Measurement("placeholders", len(_OPEN.findall(text)), "places", n=max(len(text.splitlines()), 1))
    yield Measurement("facts", sum(not each for each in facts), "facts", n=len(facts))


def _numbers(text: str, publication: Mapping[str, Any]) -> list[str]:
    """The numbers that a reader of the text sees, less those within names, commands and what the release says."""
    body = _FENCED.sub("", _METADATA.sub("", text))
    for own in (publication["card"]["summary"], publication["name"], publication["teacher"]["repo"]):
        body = body.replace(own, "")
    return _NUMBER.findall(body)


def _is_wrong(context: Context, wanted: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether the digits that are shown are not those of the evidence."""
    if row["id"] not in wanted:
        return True
    need, file, read = wanted[row["id"]]
    value = float(read(context.evidence(need).json(file)))
    return bool(row["text"] != f"{value:,.{row['decimals']}f}")


def _is_stale(context: Context, wanted: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    place = wanted.get(row["id"])
    return place is not None and context.evidence(place[0]).files.get(place[1]) != row["sha256"]


def _metadata(text: str) -> dict[str, Any]:
    """The metadata, whose values are JSON. Raises ValueError where there is none."""
    found = _METADATA.match(text)
    if found is None:
        raise ValueError("the card has no metadata")
    lines = (line.partition(": ") for line in found[1].splitlines())
    return {key: json.loads(value) for key, _, value in lines}


def _facts(told: Mapping[str, Any], publication: Mapping[str, Any], score: Mapping[str, Any]) -> list[bool]:
    """Of every fact that the metadata must have, whether it has it."""
    bases = [each["repo"] for each in (publication["teacher"], publication["init"]) if each]
    results = [result for model in told.get("model-index", ()) for result in model["results"]]
    values = [metric["value"] for result in results for metric in result["metrics"]]
    return [
        told.get("license") == publication["licence"],
        told.get("language") == publication["card"]["languages"],
        told.get("base_model") == bases,
        told.get("base_model_relation") == "finetune",
        told.get("datasets", []) == publication["card"]["datasets"],
        values == [float(score["text"].replace(",", ""))],
    ]
