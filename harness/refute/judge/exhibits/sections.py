"""What a report shows beyond the records: nine dogfood sections, loss curves and the problem grid, from evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from refute.judge.exhibits.curves import Lines, _curves
from refute.judge.exhibits.grids import SCORED, grids, prompts
from refute.judge.predicate.exhibits import Exhibits, Fact, Section
from refute.outcome import Record


def exhibits(lines: Lines, records: Iterable[Record]) -> Exhibits:
    """What the evidence of a distillation has to show; what is missing is shown as not run, with the reason."""
    return Exhibits(
        sections=_sections(lines, tuple(records)),
        curves=tuple(_curves(lines)),
        grids=grids(lines),
        prompts=prompts(lines),
    )


def _json(lines: Lines, name: str, file: str) -> dict[str, Any] | None:
    line = lines.get(name)
    return None if line is None else line.read_json(file)


def _facts(content: Mapping[str, Any] | None, labels: Mapping[str, str]) -> tuple[Fact, ...]:
    return tuple(
        Fact(label=label, value=_shown(content[key]))
        for key, label in labels.items()
        if content is not None and content.get(key) is not None
    )


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _sections(lines: Lines, records: tuple[Record, ...]) -> tuple[Section, ...]:
    makers: tuple[Callable[[], Section], ...] = (
        lambda: _inspection(lines),
        lambda: _prompt(lines),
        lambda: _speed(lines),
        lambda: _not_run(4, "Exports", "exporting to GGUF and comparing formats is not built yet"),
        lambda: _scorer(lines),
        lambda: _falsifiers(records),
        lambda: _not_run(7, "Independent consumer", "nobody but the operator has attested to using this model"),
        lambda: _decision(records),
        lambda: _aftermath(records),
    )
    return tuple(make() for make in makers)


def _not_run(number: int, title: str, note: str) -> Section:
    return Section(number=number, title=title, state="not_run", note=note)


def _measured(number: int, title: str, facts: tuple[Fact, ...], note: str, text: str = "") -> Section:
    """A section from evidence; without a single fact or text it was not run, and `note` says why."""
    if not facts and not text:
        return _not_run(number, title, note)
    return Section(number=number, title=title, state="measured", facts=facts, text=text)


def _inspection(lines: Lines) -> Section:
    summary, config = _json(lines, "student", "summary.json"), _json(lines, "student", "model/config.json")
    labels = {
        "parameters": "Parameters",
        "changed_tensors": "Tensors changed by training",
        "tensors": "Tensors",
    }
    shape = {
        "model_type": "Architecture",
        "num_hidden_layers": "Layers",
        "hidden_size": "Hidden size",
        "vocab_size": "Vocabulary rows",
    }
    facts = _facts(summary, labels) + _facts(config, shape)
    if "student" in lines:
        files = sum(name.startswith("model/") for name in lines["student"].files)
        facts += (Fact(label="Files in the model folder", value=str(files)),)
    return _measured(1, "Model as installed", facts, "no student was trained")


def _prompt(lines: Lines) -> Section:
    sample = _json(lines, "student", "sample.json")
    facts = _facts(sample, {"prompt": "Prompt", "new_tokens": "New tokens"})
    text = str(sample["text"]) if sample is not None else ""
    return _measured(2, "One prompt, greedy", facts, "no student was trained", text)


def _speed(lines: Lines) -> Section:
    generation, training = (
        _json(lines, "humaneval_student", "summary.json"),
        _json(lines, "student", "summary.json"),
    )
    facts = _facts(generation, {"tokens_per_s": "Generation, tokens/s (batched, this machine, one run)"})
    facts += _facts(training, {"tokens_per_s": "Training, tokens/s", "device": "Device", "dtype": "Data type"})
    return _measured(3, "Speed", facts, "nothing was generated")


def _scorer(lines: Lines) -> Section:
    facts = _facts(
        _json(lines, "humaneval_student", "summary.json"),
        {
            "protocol": "Prompt protocol",
            "max_new_tokens": "New tokens at most",
            "truncated": "Answers cut at that limit",
            "isolation": "Isolation of generated code",
            "timeout_s": "Time limit, s",
        },
    )
    for label, name in SCORED:
        summary = _json(lines, name, "summary.json")
        if summary is not None:
            facts += _answers_from(label, summary)
            facts += (Fact(label=f"Solved by {label}", value=f"{summary['passed']} of {summary['problems']}"),)
            facts += _without_verdict(label, summary)
    return _measured(5, "Quality checks: HumanEval", facts, "no HumanEval run finished")


def _answers_from(label: str, summary: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Who generated them, wherever that is stated."""
    backend = summary.get("backend")
    if not isinstance(backend, dict):
        return ()
    said = [str(backend[key]) for key in ("kind", "version", "file_sha256", "model", "base_url") if backend.get(key)]
    return (Fact(label=f"Answers of {label} from", value=", ".join(said)),)


def _without_verdict(label: str, summary: Mapping[str, Any]) -> tuple[Fact, ...]:
    """How many problems had none, wherever some were allowed to."""
    share = summary.get("allowed_error_share", 0.0)
    value = f"{summary.get('errors', 0)} of {summary['problems']}, counted as failed; {100 * share:g} % may have none"
    return (Fact(label=f"Without a verdict, {label}", value=value),) if share else ()


def _falsifiers(records: tuple[Record, ...]) -> Section:
    controls = [control for record in records for control in record.controls]
    facts = (
        Fact(label="Falsifiers with a record", value=str(len(records))),
        Fact(label="Controls behaved", value=f"{sum(c.behaved for c in controls)} of {len(controls)}"),
    )
    return _measured(6, "Falsifiers and their controls", facts if records else (), "no falsifier has a record")


def _decision(records: tuple[Record, ...]) -> Section:
    counts: dict[str, int] = {}
    for record in records:
        counts[str(record.outcome)] = counts.get(str(record.outcome), 0) + 1
    facts = tuple(Fact(label=outcome.replace("_", " "), value=str(n)) for outcome, n in sorted(counts.items()))
    return _measured(8, "Falsifiers by outcome", facts, "no falsifier has a record")


def _aftermath(records: tuple[Record, ...]) -> Section:
    stands = [record.criterion for record in records if record.outcome not in ("corroborated", "not_applicable")]
    open_criteria = sorted(set(stands))
    text = "No criterion stands open."
    if open_criteria:
        text = "Nothing is discharged while these criteria stand open: " + ", ".join(open_criteria) + "."
    return _measured(9, "What follows", (), "no falsifier has a record", text if records else "")
