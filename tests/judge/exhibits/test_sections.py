"""What a report says of exports, of samples and of the releases before: from evidence, or that there is none."""

from __future__ import annotations

import json
from pathlib import Path

from refute.judge.exhibits.sections import exhibits
from refute.judge.predicate.exhibits import Section
from refute.judge.run.folder import EvidenceLine

KL = {"positions": [5, 9], "kl": [1e-6, 3e-6], "same_first": [True, True]}
CONVERSION = {
    "file": "m.F16.gguf",
    "label": "F16",
    "llama_cpp": "b1",
    "divergence": KL,
    "known_bad": {},
    "formats": {"Q4_0": KL},
}
ASKED = {"label": "Q4_0", "file": "m.Q4_0.gguf", "sha256": "a" * 64, "problems": 20, "passed": 1, "pass_at_1": 0.05}
SCORES = {"llama_cpp": "b1", "drawn_of": 164, "seed": 17, "files": [ASKED]}
WAY = {"file": "m", "prompt": [1], "ids": [2], "behind": [0.0], "text": "x", "reached": [], "versions": {}}
PATHS = [{**WAY, "path": "refute", "failed": None}, {**WAY, "path": "llama.cpp F16", "failed": "it stopped"}]
USAGE = {"paths": PATHS, "snippets": [], "not_run": {}}


def section_of(folder: Path, number: int, files: dict[str, tuple[str, object]]) -> Section:
    """The section of that number, where the evidence of a name holds a file."""
    lines = {}
    for name, (file, content) in files.items():
        (folder / name).mkdir()
        (folder / name / file).write_text(json.dumps(content), encoding="utf-8")
        lines[name] = EvidenceLine(name=name, digest="d" * 64, folder=str(folder / name), files={file: "e" * 64})
    return exhibits(lines, ()).sections[number - 1]


def test_exports_are_shown_by_what_was_measured_of_them(tmp_path: Path) -> None:
    """How far files are from the folder, what each solves, and which ways of using the release worked."""
    files = {"converted": ("conversion.json", CONVERSION), "humaneval_formats": ("formats.json", SCORES)}
    found = section_of(tmp_path, 4, {**files, "used": ("usage.json", USAGE)})
    assert (found.title, found.state) == ("Exports", "measured")
    assert {fact.label: fact.value for fact in found.facts} == {
        "Mean KL, nat: F16 in llama.cpp against the folder, 2 positions": "2e-06",
        "Largest of them, nat": "3e-06",
        "Mean KL, nat: Q4_0 against the folder": "2e-06",
        "HumanEval solved by Q4_0 in llama.cpp": "1 of 20, 95 % interval 0.9 to 23.6 %",
        "Worked as strangers use it, of 2 ways": "refute",
    }


def test_a_release_that_publishes_nothing_says_so(tmp_path: Path) -> None:
    """And not that there is nothing to export with."""
    found = section_of(tmp_path, 4, {})
    assert (found.state, found.note) == ("not_run", "the release publishes nothing, so no file was exported")


def test_what_lint_found_is_said_by_rule(tmp_path: Path) -> None:
    """A criterion says how many findings there are; here stands what they are."""
    finding = {"rule": "file/unexpected", "severity": "error", "found": "notes.txt is nothing that a reader opens"}
    other = {"rule": "file/mode", "severity": "warn", "found": "config.json has mode 0600"}
    (folder := tmp_path / "lint").mkdir()
    rows = [finding, other, finding | {"found": "more.txt"}]
    (folder / "lint.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    line = EvidenceLine(name="student_lint", digest="d" * 64, folder=str(folder), files={"lint.jsonl": "e" * 64})
    section = exhibits({"student_lint": line}, ()).sections[0]
    assert {fact.label: fact.value for fact in section.facts} == {
        "Lint, error: file/unexpected": "notes.txt is nothing that a reader opens, and 1 more",
        "Lint, warn: file/mode": "config.json has mode 0600",
    }


def test_samples_and_the_releases_before_are_shown_beside_the_scores(tmp_path: Path) -> None:
    """How samples were drawn and what they came to; the trend, as the verdict before has handed it on."""
    sampler = {"method": "top_p", "temperature": 0.2, "n": 8, "repetition_penalty": 1.0, "top_p": 0.95, "seed": 17}
    numbers = dict.fromkeys(
        ("max_new_tokens", "batch_size", "truncated", "generated_tokens", "errors", "passed", "timeouts_retried"), 1
    )
    shares = dict.fromkeys(
        ("tokens_per_s", "allowed_error_share", "timeout_s", "pass_at_1", "wall_s", "slowest_program_s"), 0.5
    )
    words = dict.fromkeys(("protocol", "extraction", "sampler_reported_by", "samples_depend_on", "isolation"), "x")
    summary: dict[str, object] = {
        **numbers,
        **shares,
        **words,
        **{name: {} for name in ("stops", "format_faults", "endings", "outcomes")},
        **dict.fromkeys(("template_sha256", "system_prompt")),
        "stop_sequences": [],
        "backend": {"kind": "transformers"},
        "effective_sampler": sampler,
        "repeated": {"samples": 1, "identical": 1},
        "problems": 164,
        "problems_sha256": "a" * 64,
        "samples": 8,
        "pass_at_k": {"1": 0.5, "8": 0.75},
    }
    trend = [{"label": "Solved by the student of v1, judged 2026-11-30", "value": "60 of 164"}]
    baseline = {"release": "v1", "payload_sha256": "b" * 64, "trend": trend}
    found = section_of(
        tmp_path,
        5,
        {"humaneval_sampled": ("summary.json", summary), "humaneval_previous": ("baseline.json", baseline)},
    )
    assert {fact.label: fact.value for fact in found.facts} == {
        "Samples of student, drawn": "8 a problem, at temperature 0.2, top-p 0.95, by seed 17",
        "Samples of student, unbiased": "pass@1 50.0 %, pass@8 75.0 %",
        "Solved by the student of v1, judged 2026-11-30": "60 of 164",
    }
