"""Is the teacher another, larger model that speaks the student's language?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

_LISTS = ("tokens_sha256", "merges_sha256")


def _model(**changes: Any) -> dict[str, Any]:
    model: dict[str, Any] = {
        "sha256": "1" * 64,
        "parameters": 1000,
        "vocab_rows": 64,
        "tokens_sha256": "a" * 64,
        "merges_sha256": "b" * 64,
        "special_tokens": {"eos": 2},
    }
    return {**model, **changes}


def _lay_out(
    bench: Bench, teacher: dict[str, Any], init: dict[str, Any], step0_kl: float = 2.0, first: int = 0
) -> None:
    bench.put("lineage", "lineage.json", {"teacher": teacher, "init": init})
    bench.put("student", "evals.jsonl", [{"step": first, "heldout_kl": step0_kl, "windows": 8}])


def two_different_models(bench: Bench) -> None:
    """A larger teacher with another digest and the same tokens."""
    _lay_out(bench, _model(parameters=2000), _model(sha256="2" * 64))


def teacher_is_the_init(bench: Bench) -> None:
    """The thirty lost GPU-hours: one file in both roles."""
    _lay_out(bench, _model(parameters=2000), _model(parameters=2000), step0_kl=0.0)


def one_digest_and_another_size(bench: Bench) -> None:
    """The weights of the init under the teacher's name, beside figures that look right."""
    _lay_out(bench, _model(parameters=2000), _model())


def teacher_is_no_larger(bench: Bench) -> None:
    """Two different models of the same size."""
    _lay_out(bench, _model(), _model(sha256="2" * 64))


def teacher_saved_again(bench: Bench) -> None:
    """Another digest and a padded size, but the same distribution: the same model in other clothes."""
    _lay_out(bench, _model(parameters=2000), _model(sha256="2" * 64), step0_kl=1e-6)


def first_measured_after_training(bench: Bench) -> None:
    """The distance before the first step is not known."""
    _lay_out(bench, _model(parameters=2000), _model(sha256="2" * 64), first=50)


@falsifier(
    "teacher-divergence",
    needs=("lineage", "student"),
    measures={"identical_digests": "pairs", "parameter_surplus": "parameters", "step0_kl": "nat/token"},
    controls=(
        known_good(two_different_models),
        known_bad(teacher_is_the_init),
        known_bad(one_digest_and_another_size),
        known_bad(teacher_is_no_larger),
        known_bad(teacher_saved_again),
        known_unusable(first_measured_after_training, raises=ValueError),
    ),
)
def teacher_divergence(context: Context) -> Iterator[Measurement]:
    """Refuted when teacher and init share a digest, the teacher is no larger, or KL at step 0 is about zero."""
    lineage = context.evidence("lineage").json("lineage.json")
    teacher, init = lineage["teacher"], lineage["init"]
    yield Measurement("identical_digests", int(teacher["sha256"] == init["sha256"]), "pairs", n=1)
    yield Measurement("parameter_surplus", teacher["parameters"] - init["parameters"], "parameters", n=1)
    first = context.evidence("student").rows("evals.jsonl")[0]
    if first["step"] != 0:
        raise ValueError(f"the first evaluation is of step {first['step']}, expected step 0")
    yield Measurement("step0_kl", first["heldout_kl"], "nat/token", n=first["windows"])


def other_tokens_of_the_same_size(bench: Bench) -> None:
    """Equal sizes, another token list: the size rule would accept it."""
    _lay_out(bench, _model(), _model(tokens_sha256="c" * 64))


def student_wider_than_its_teacher(bench: Bench) -> None:
    """The student has rows for which the teacher has no logit."""
    _lay_out(bench, _model(), _model(vocab_rows=65))


def moved_end_of_text(bench: Bench) -> None:
    """The same tokens, but the student ends its text elsewhere."""
    _lay_out(bench, _model(), _model(special_tokens={"eos": 3}))


def an_id_that_one_side_does_not_name(bench: Bench) -> None:
    """A GGUF names no padding id, the folder does not speak of one for unknown tokens: nothing differs."""
    _lay_out(
        bench, _model(special_tokens={"eos": 2, "pad": None}), _model(special_tokens={"eos": 2, "pad": 0, "unk": 1})
    )


def one_of_two_ids_moved(bench: Bench) -> None:
    """The text begins in the same way and ends elsewhere."""
    _lay_out(bench, _model(special_tokens={"bos": 1, "eos": 2}), _model(special_tokens={"bos": 1, "eos": 3}))


def an_id_that_only_the_teacher_names(bench: Bench) -> None:
    """The other way round: nothing differs."""
    _lay_out(bench, _model(special_tokens={"eos": 2, "pad": 0}), _model(special_tokens={"eos": 2, "pad": None}))


@falsifier(
    "vocabulary-identity",
    needs=("lineage",),
    measures={"differing_lists": "lists", "missing_rows": "rows"},
    controls=(
        known_good(two_different_models),
        known_bad(other_tokens_of_the_same_size),
        known_bad(student_wider_than_its_teacher),
        known_bad(moved_end_of_text),
        known_bad(one_of_two_ids_moved),
        known_good(an_id_that_one_side_does_not_name),
        known_good(an_id_that_only_the_teacher_names),
    ),
)
def vocabulary_identity(context: Context) -> Iterator[Measurement]:
    """Refuted when token lists, merges or special ids differ, or the teacher has fewer rows than the student."""
    lineage = context.evidence("lineage").json("lineage.json")
    teacher, init = lineage["teacher"], lineage["init"]
    differing = sum(teacher[name] != init[name] for name in _LISTS)
    # A file format may leave a special id out, so only ids that both sides name can differ.
    ids = [{k: v for k, v in model["special_tokens"].items() if v is not None} for model in (teacher, init)]
    differing += any(ids[0][name] != ids[1][name] for name in ids[0].keys() & ids[1].keys())
    yield Measurement("differing_lists", differing, "lists", n=len(_LISTS) + 1)
    yield Measurement("missing_rows", init["vocab_rows"] - teacher["vocab_rows"], "rows", n=init["vocab_rows"])
