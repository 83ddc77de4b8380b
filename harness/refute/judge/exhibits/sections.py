"""What a report shows beyond the records: nine dogfood sections, loss curves and the problem grid, from evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from refute.judge.exhibits.curves import curves
from refute.judge.exhibits.dogfood import dogfood_sections
from refute.judge.exhibits.grids import SCORED, grids, prompts
from refute.judge.exhibits.reading import Lines, read_object, read_rows
from refute.judge.predicate.exhibits import Exhibits, Fact, Section
from refute.outcome import Record
from refute.spec.experiments.evidence.humaneval import AskedFormat, BackendFacts, SampledSummary, Scored
from refute.spec.experiments.evidence_files import (
    BASELINE,
    CONVERSION,
    CONVERTED,
    DOGFOOD,
    DRILL,
    DRILL_SUMMARY,
    EVALUATION_SUMMARY,
    FORMAT_SCORES,
    GREEDY_SAMPLE,
    HUMANEVAL_FORMATS,
    HUMANEVAL_PREVIOUS,
    HUMANEVAL_SAMPLED,
    HUMANEVAL_SEQUENTIAL,
    HUMANEVAL_STUDENT,
    LINTED,
    MODEL,
    MODEL_CONFIG,
    QUANTISATION,
    QUANTISED,
    SAMPLED_SUMMARY,
    SEQUENTIAL_SUMMARY,
    STUDENT,
    STUDENT_LINT,
    TRAINING_SUMMARY,
    USAGE,
    USED,
)
from refute.stats import wilson_interval


def exhibits(lines: Lines, records: Iterable[Record]) -> Exhibits:
    """What the evidence of a distillation has to show; what is missing is shown as not run, with the reason."""
    return Exhibits(
        sections=_sections(lines, tuple(records)),
        curves=tuple(curves(lines)),
        grids=grids(lines),
        prompts=prompts(lines),
    )


def _facts(values: Mapping[str, object]) -> tuple[Fact, ...]:
    """A fact for each label that has a value."""
    return tuple(Fact(label=label, value=_shown(value)) for label, value in values.items() if value is not None)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _sections(lines: Lines, records: tuple[Record, ...]) -> tuple[Section, ...]:
    if DOGFOOD in lines:
        return dogfood_sections(lines, records)
    makers: tuple[Callable[[], Section], ...] = (
        lambda: _inspection(lines),
        lambda: _prompt(lines),
        lambda: _speed(lines),
        lambda: _exports(lines),
        lambda: _scorer(lines),
        lambda: _falsifiers(lines, records),
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
    facts: tuple[Fact, ...] = ()
    if summary := read_object(lines, STUDENT, TRAINING_SUMMARY):
        labels = {
            "Parameters": summary.parameters,
            "Tensors changed by training": summary.changed_tensors,
            "Tensors": summary.tensors,
        }
        facts += _facts(labels)
    if config := read_object(lines, STUDENT, MODEL_CONFIG):
        shape = {
            "Architecture": config.model_type,
            "Layers": config.num_hidden_layers,
            "Hidden size": config.hidden_size,
            "Vocabulary rows": config.vocab_size,
        }
        facts += _facts(shape)
    if STUDENT in lines:
        files = sum(name.startswith(f"{MODEL.name}/") for name in lines[STUDENT].files)
        facts += (Fact(label="Files in the model folder", value=str(files)),)
    facts += _linted(lines)
    return _measured(1, "Model as installed", facts, "no student was trained")


def _linted(lines: Lines) -> tuple[Fact, ...]:
    """Each rule of `refute model lint` that a finished student's files break: how often, and the first place."""
    found: dict[str, list[str]] = {}
    for row in read_rows(lines, STUDENT_LINT, LINTED):
        found.setdefault(f"Lint, {row.severity}: {row.rule}", []).append(row.found)
    more = {label: f", and {len(places) - 1} more" if len(places) > 1 else "" for label, places in found.items()}
    return tuple(Fact(label=label, value=places[0] + more[label]) for label, places in found.items())


def _prompt(lines: Lines) -> Section:
    sample = read_object(lines, STUDENT, GREEDY_SAMPLE)
    facts = () if sample is None else _facts({"Prompt": sample.prompt, "New tokens": sample.new_tokens})
    text = "" if sample is None else sample.text
    return _measured(2, "One prompt, greedy", facts, "no student was trained", text)


def _speed(lines: Lines) -> Section:
    facts: tuple[Fact, ...] = ()
    if answers := read_object(lines, HUMANEVAL_STUDENT, EVALUATION_SUMMARY):
        facts += _facts({"Generation, tokens/s (batched, this machine, one run)": answers.tokens_per_s})
    if run := read_object(lines, STUDENT, TRAINING_SUMMARY):
        facts += _facts({"Training, tokens/s": run.tokens_per_s, "Device": run.device, "Data type": run.dtype})
    return _measured(3, "Speed", facts, "nothing was generated")


def _exports(lines: Lines) -> Section:
    facts: tuple[Fact, ...] = ()
    if quantised := read_object(lines, QUANTISED, QUANTISATION):
        furthest = {each.label: max(tensor.relative_l2 for tensor in each.tensors) for each in quantised.files}
        facts += _facts({f"{label}, relative error of its worst tensor": off for label, off in furthest.items()})
    if conversion := read_object(lines, CONVERTED, CONVERSION):
        kl = conversion.divergence.kl
        where = f"{conversion.label} in llama.cpp against the folder, {len(kl)} positions"
        facts += _facts({f"Mean KL, nat: {where}": sum(kl) / len(kl), "Largest of them, nat": max(kl)})
        others = {label: sum(each.kl) / len(each.kl) for label, each in conversion.formats.items()}
        facts += _facts({f"Mean KL, nat: {label} against the folder": kl for label, kl in others.items()})
    if asked := read_object(lines, HUMANEVAL_FORMATS, FORMAT_SCORES):
        facts += tuple(_solved_by_file(each) for each in asked.files)
    if used := read_object(lines, USED, USAGE):
        worked = [each.path for each in used.paths if each.failed is None]
        facts += (Fact(label=f"Worked as strangers use it, of {len(used.paths)} ways", value=", ".join(worked)),)
    return _measured(4, "Exports", facts, "the release publishes nothing, so no file was exported")


def _solved_by_file(file: AskedFormat) -> Fact:
    """Its own score, and how far that may be off."""
    ends = wilson_interval(file.passed, file.problems)
    value = f"{file.passed} of {file.problems}, 95 % interval {ends.low:.1f} to {ends.high:.1f} %"
    return Fact(label=f"HumanEval solved by {file.label} in llama.cpp", value=value)


def _scorer(lines: Lines) -> Section:
    facts: tuple[Fact, ...] = ()
    if student := read_object(lines, HUMANEVAL_STUDENT, EVALUATION_SUMMARY):
        labels = {
            "Prompt protocol": student.protocol,
            "System prompt": student.system_prompt,
            "New tokens at most": student.max_new_tokens,
            "Answers cut at that limit": student.truncated,
            "Isolation of generated code": student.isolation,
            "Time limit, s": student.timeout_s,
        }
        facts += _facts(labels)
    for label, name in SCORED:
        if summary := _scored(lines, name):
            facts += (_answers_from(label, summary.backend), _solved(label, summary))
            facts += _without_format(label, summary)
            facts += _why_zero(label, summary)
            facts += _without_verdict(label, summary)
    if sampled := read_object(lines, HUMANEVAL_SAMPLED, SAMPLED_SUMMARY):
        facts += _pass_at_k(sampled)
    if baseline := read_object(lines, HUMANEVAL_PREVIOUS, BASELINE):
        facts += tuple(Fact(label=each.label, value=each.value) for each in baseline.trend)
    return _measured(5, "Quality checks: HumanEval", facts, "no HumanEval run finished")


def _scored(lines: Lines, name: str) -> Scored | None:
    if name == HUMANEVAL_SEQUENTIAL:
        return read_object(lines, name, SEQUENTIAL_SUMMARY)
    return read_object(lines, name, EVALUATION_SUMMARY)


def _answers_from(label: str, backend: BackendFacts) -> Fact:
    """Who generated them."""
    said = (backend.kind, backend.version, backend.file_sha256, backend.model, backend.base_url)
    return Fact(label=f"Answers of {label} from", value=", ".join(each for each in said if each))


def _pass_at_k(summary: SampledSummary) -> tuple[Fact, ...]:
    """What several samples a problem came to, and how they were drawn."""
    sampler = summary.effective_sampler
    drawn = f"{summary.samples} a problem, at temperature {sampler.temperature:g}, top-p {sampler.top_p:g}, by seed"
    solved = ", ".join(f"pass@{k} {100 * share:.1f} %" for k, share in summary.pass_at_k.items())
    return (
        Fact(label="Samples of student, drawn", value=f"{drawn} {sampler.seed}"),
        Fact(label="Samples of student, unbiased", value=solved),
    )


def _solved(label: str, summary: Scored) -> Fact:
    return Fact(label=f"Solved by {label}", value=f"{summary.passed} of {summary.problems}")


def _without_format(label: str, summary: Scored) -> tuple[Fact, ...]:
    """How many answers are no Python behind their prompt, and what they look like."""
    if not summary.format_faults:
        return ()
    symptoms = "; ".join(f"{count} {name}" for name, count in summary.format_faults.items())
    text = f"{sum(summary.format_faults.values())} of {summary.problems}: {symptoms}"
    return (Fact(label=f"Did not compile or are empty, by {label}", value=text),)


def _why_zero(label: str, summary: Scored) -> tuple[Fact, ...]:
    """How all answers ended, where none passed."""
    text = "; ".join(f"{count} {name}" for name, count in summary.endings.items())
    return (Fact(label=f"Why zero, {label}", value=text),) if summary.endings and not summary.passed else ()


def _without_verdict(label: str, summary: Scored) -> tuple[Fact, ...]:
    """How many problems had none, wherever some were allowed to."""
    share = summary.allowed_error_share
    value = f"{summary.errors} of {summary.problems}, counted as failed; {100 * share:g} % may have none"
    return (Fact(label=f"Without a verdict, {label}", value=value),) if share else ()


def _falsifiers(lines: Lines, records: tuple[Record, ...]) -> Section:
    controls = [control for record in records for control in record.controls]
    facts: tuple[Fact, ...] = (
        Fact(label="Falsifiers with a record", value=str(len(records))),
        Fact(label="Controls behaved", value=f"{sum(c.behaved for c in controls)} of {len(controls)}"),
    )
    if drill := read_object(lines, DRILL, DRILL_SUMMARY):
        drawn = f"by seed {drill.seed} at {drill.drawn_at}, of {drill.generator} faults"
        facts += (Fact(label="Fire drill drawn", value=drawn),)
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
