"""Are the files of a finished student sound, and is it another, smaller model than its teacher?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good

_LINT, _CARD = "lint.jsonl", "card/"


def _findings(bench: Bench, severity: str = "error", *, gguf: bool = False, **wrong: float) -> None:
    """As many findings, and files of another content, as the bars allow, or more; one finding of `severity` besides."""
    right = {"lint_errors": 0, "card_errors": 0, "foreign_files": 0}
    found = bench.values(right, wrong, low=0, high=100, whole=True)
    finding = {"rule": "weights/finite", "found": "there is one"}
    errors = [finding | {"severity": "error"}] * found["lint_errors"]
    errors += [finding | {"severity": "error", "rule": "card/missing"}] * found["card_errors"]
    others = [finding | {"severity": severity, "rule": rule} for rule in ("weights/health", "card/datasets")]
    others = others if severity != "error" else []
    bench.put("student_lint", _LINT, [*errors, *others])
    given = (
        ["student.gguf", "README.md"] if gguf else [f"model-{n}.safetensors" for n in range(found["foreign_files"] + 1)]
    )
    for number, name in enumerate(given):
        bench.put("student", f"model/{name}", f"given {number}")
    for number, name in enumerate(given if not gguf else ["model.safetensors"]):
        opened = "given" if number >= found["foreign_files"] and not gguf else "opened"
        bench.put("student_opened", f"model/{name}", f"{opened} {number}")


def sound_files(bench: Bench) -> None:
    """No rule is broken."""
    _findings(bench)


def files_with_warnings(bench: Bench) -> None:
    """What may be better, and stops nobody."""
    _findings(bench, "warn")


def notes_only(bench: Bench) -> None:
    """What is only worth knowing."""
    _findings(bench, "info")


def a_model_without_a_card(bench: Bench) -> None:
    """Nobody says what it is."""
    _findings(bench, card_errors=1)


def a_file_that_was_opened_as_another(bench: Bench) -> None:
    """What was measured is not what was named."""
    _findings(bench, foreign_files=1)


def one_file_of_another_format(bench: Bench) -> None:
    """A GGUF file is dequantised: what was opened has no file of the same content."""
    bench.bar("foreign_files").holding(0, low=0, high=0)
    _findings(bench, gguf=True)


def broken_files(bench: Bench) -> None:
    """A rule whose breach stops a stranger."""
    _findings(bench, lint_errors=1)


@falsifier(
    "student-files-sound",
    needs=("student", "student_opened", "student_lint"),
    measures={"lint_errors": "findings", "foreign_files": "files"},
    controls=(
        known_good(sound_files),
        known_good(files_with_warnings),
        known_good(notes_only),
        known_good(one_file_of_another_format),
        known_bad(broken_files),
        known_bad(a_file_that_was_opened_as_another),
    ),
)
def student_files_sound(context: Context) -> Iterator[Measurement]:
    """Refuted when `refute model lint` finds errors in the student's files, or others were measured.

    Of a GGUF file no file that was opened has the content: the engines dequantise it.
    """
    rows = _errors(context)
    yield Measurement("lint_errors", sum(not rule.startswith(_CARD) for rule in rows), "findings", n=len(rows) + 1)
    given, opened = context.evidence("student"), context.evidence("student_opened").files
    paths = [given.path(name) for name in given.files]
    dequantised = any(path.suffix == ".gguf" for path in paths)
    foreign = [name for name, digest in opened.items() if digest not in given.files.values()]
    yield Measurement("foreign_files", 0 if dequantised else len(foreign), "files", n=len(paths))


def _errors(context: Context) -> list[str]:
    """The rules that are broken so that it stops a stranger."""
    return [str(row["rule"]) for row in context.evidence("student_lint").rows(_LINT) if row["severity"] == "error"]


@falsifier(
    "student-has-a-card",
    needs=("student_lint",),
    measures={"card_errors": "findings"},
    controls=(
        known_good(sound_files),
        known_good(files_with_warnings),
        known_bad(a_model_without_a_card),
    ),
)
def student_has_a_card(context: Context) -> Iterator[Measurement]:
    """Refuted when the student has no card, or one that does not say under which licence it is."""
    rows = _errors(context)
    yield Measurement("card_errors", sum(rule.startswith(_CARD) for rule in rows), "findings", n=len(rows) + 1)


def _models(bench: Bench, **wrong: float) -> None:
    """A teacher and a student as far apart as the bars demand, but for what is `wrong`."""
    found = bench.values({"identical_digests": 0, "parameter_surplus": 1000}, wrong, low=-1e12, high=1e12, whole=True)
    same = bench.values({"identical_digests": 0}, wrong, low=0, high=1, whole=True)["identical_digests"]
    size = max(1000, 1 - found["parameter_surplus"])
    student = {"sha256": ("1" if same else "2") * 64, "parameters": size}
    teacher = {"sha256": "1" * 64, "parameters": size + found["parameter_surplus"]}
    lineage: dict[str, Any] = {"teacher": teacher, "init": student}
    bench.put("lineage", "lineage.json", lineage)


def a_larger_teacher(bench: Bench) -> None:
    """Another model with more parameters."""
    _models(bench)


def the_student_as_its_own_teacher(bench: Bench) -> None:
    """One file in both roles."""
    _models(bench, identical_digests=1)


def a_teacher_that_is_no_larger(bench: Bench) -> None:
    """Nothing was made smaller."""
    _models(bench, parameter_surplus=0)


@falsifier(
    "student-is-not-its-teacher",
    needs=("lineage",),
    measures={"identical_digests": "pairs", "parameter_surplus": "parameters"},
    controls=(
        known_good(a_larger_teacher),
        known_bad(the_student_as_its_own_teacher),
        known_bad(a_teacher_that_is_no_larger),
    ),
)
def student_is_not_its_teacher(context: Context) -> Iterator[Measurement]:
    """Refuted when the student's weights are its teacher's to the last bit, or the teacher has no more parameters."""
    lineage = context.evidence("lineage").json("lineage.json")
    teacher, student = lineage["teacher"], lineage["init"]
    yield Measurement("identical_digests", int(teacher["sha256"] == student["sha256"]), "pairs", n=1)
    surplus = teacher["parameters"] - student["parameters"]
    yield Measurement("parameter_surplus", surplus, "parameters", n=student["parameters"])
