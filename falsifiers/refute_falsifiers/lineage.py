"""Is the teacher another, larger model that speaks the student's language?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

_LISTS = ("tokens_sha256", "merges_sha256")
_SIZES = ("parameters", "layers")


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


def _divergence(
    bench: Bench, wrong: Collection[str] = (), first: int = 0, misstated: tuple[str, str] = ("teacher", "parameters")
) -> None:
    """A teacher and an init that are as far apart as the bars demand, but for what is in `wrong`.

    As far as their sizes are not what was written down, the one that is `misstated` is not.
    """
    if not any(name in bench.bars for name in wrong):
        for name in wrong:
            bench.bar(name).failing()

    def measured(name: str, right: float, otherwise: float, **limits: Any) -> float:
        bar = bench.bar(name)
        failed = name in wrong and name in bench.bars
        return bar.failing(otherwise, **limits) if failed else bar.holding(right, **limits)

    same = measured("identical_digests", 0, 1, low=0, high=1, whole=True)
    surplus = measured("parameter_surplus", 1000, 0, whole=True)
    kl = measured("step0_kl", 2.0, 0.0, low=0.0)
    off = measured("size_error", 0.0, 0.5, low=0.0, clear=True)
    init = _model(parameters=max(1000, 1 - surplus), sha256=("1" if same else "2") * 64, layers=1)
    said = {"teacher": _model(parameters=init["parameters"] + surplus, layers=1), "init": init}
    sizes = {model: {key: said[model][key] for key in _SIZES} for model in said}
    model, key = misstated
    said[model] = {**said[model], key: said[model][key] * (1 + off)}
    bench.put("lineage", "lineage.json", said)
    bench.put("init_redo", "again.json", sizes)
    bench.put("student", "evals.jsonl", [{"step": first, "heldout_kl": kl, "windows": 8}])


def two_different_models(bench: Bench) -> None:
    """A larger teacher with another digest and the same tokens."""
    _divergence(bench)


def teacher_is_the_init(bench: Bench) -> None:
    """The thirty lost GPU-hours: one file in both roles."""
    _divergence(bench, ("identical_digests", "parameter_surplus", "step0_kl"))


def one_digest_and_another_size(bench: Bench) -> None:
    """The weights of the init under the teacher's name, beside figures that look right."""
    _divergence(bench, ("identical_digests",))


def teacher_is_no_larger(bench: Bench) -> None:
    """Two different models of the same size."""
    _divergence(bench, ("parameter_surplus",))


def teacher_saved_again(bench: Bench) -> None:
    """Another digest and a padded size, but the same distribution: the same model in other clothes."""
    _divergence(bench, ("step0_kl",))


def a_teacher_said_to_be_larger(bench: Bench) -> None:
    """The model that teaches has two thirds of the parameters that were written down."""
    _divergence(bench, ("size_error",))


def a_teacher_said_to_be_deeper(bench: Bench) -> None:
    """The model that teaches has fewer layers."""
    _divergence(bench, ("size_error",), misstated=("teacher", "layers"))


def an_init_of_another_size(bench: Bench) -> None:
    """The init is not as small as was written down."""
    _divergence(bench, ("size_error",), misstated=("init", "parameters"))


def first_measured_after_training(bench: Bench) -> None:
    """The distance before the first step is not known."""
    _divergence(bench, first=50)


@falsifier(
    "teacher-divergence",
    needs=("lineage", "student", "init_redo"),
    measures={
        "identical_digests": "pairs",
        "parameter_surplus": "parameters",
        "size_error": "relative",
        "step0_kl": "nat/token",
    },
    controls=(
        known_good(two_different_models),
        known_bad(teacher_is_the_init),
        known_bad(one_digest_and_another_size),
        known_bad(teacher_is_no_larger),
        known_bad(teacher_saved_again),
        *map(known_bad, (a_teacher_said_to_be_larger, a_teacher_said_to_be_deeper, an_init_of_another_size)),
        known_unusable(first_measured_after_training, raises=ValueError),
    ),
)
def teacher_divergence(context: Context) -> Iterator[Measurement]:
    """Refuted when teacher and init share a digest, the teacher is no larger, or KL at step 0 is about zero.

    Sizes are those of the models as the auditors read them; `size_error` is how far one is from what the files of
    teacher and init state.
    """
    lineage = context.evidence("lineage").json("lineage.json")
    teacher, init = lineage["teacher"], lineage["init"]
    again = context.evidence("init_redo").json("again.json")
    surplus = again["teacher"]["parameters"] - again["init"]["parameters"]
    yield Measurement("identical_digests", int(teacher["sha256"] == init["sha256"]), "pairs", n=1)
    yield Measurement("parameter_surplus", surplus, "parameters", n=1)
    pairs = [(lineage[model][key], again[model][key]) for model in ("teacher", "init") for key in _SIZES]
    yield Measurement("size_error", max(abs(said / found - 1) for said, found in pairs), "relative", n=len(pairs))
    first = next(iter(context.evidence("student").rows_by("evals.jsonl", "step").values()))
    if first["step"] != 0:
        raise ValueError(f"the first evaluation is of step {first['step']}, expected step 0")
    yield Measurement("step0_kl", first["heldout_kl"], "nat/token", n=first["windows"])


# The special ids of teacher and init: alike, and with another end of text.
Ids = tuple[Mapping[str, int | None], Mapping[str, int | None]]
_SAME: Ids = ({"eos": 2}, {"eos": 2})
_MOVED: Ids = ({"eos": 2}, {"eos": 3})


def _vocabulary(bench: Bench, *differing: str, rows: bool = False, alike: Ids = _SAME, moved: Ids = _MOVED) -> None:
    """Two vocabularies that differ in these lists ("tokens", "merges", "ids"), and in more where the bar allows some.

    With `rows`, the teacher has too few of them.
    """
    bar, missing = bench.bar("differing_lists"), bench.bar("missing_rows")
    limits: dict[str, Any] = {"low": len(differing), "high": 3, "whole": True}
    count = int(bar.failing(len(differing), **limits) if differing else bar.holding(0, **limits))
    others = [name for name in ("tokens", "merges", "ids") if name not in differing]
    unlike = {*differing, *others[: count - len(differing)]}
    fewer = int(missing.failing(1, whole=True) if rows else missing.holding(0, whole=True))
    ids = moved if "ids" in unlike else alike
    lists = {f"{name}_sha256": "c" * 64 for name in ("tokens", "merges") if name in unlike}
    width = max(64, 1 + fewer)
    teacher = _model(vocab_rows=width - fewer, special_tokens=ids[0])
    init = _model(vocab_rows=width, special_tokens=ids[1], **lists)
    bench.put("lineage", "lineage.json", {"teacher": teacher, "init": init})


def the_same_vocabulary(bench: Bench) -> None:
    """Token lists, merges and ids alike, and a logit for each row."""
    _vocabulary(bench)


def other_tokens_of_the_same_size(bench: Bench) -> None:
    """Equal sizes, another token list: the size rule would accept it."""
    _vocabulary(bench, "tokens")


def student_wider_than_its_teacher(bench: Bench) -> None:
    """The student has rows for which the teacher has no logit."""
    _vocabulary(bench, rows=True)


def moved_end_of_text(bench: Bench) -> None:
    """The same tokens, but the student ends its text elsewhere."""
    _vocabulary(bench, "ids")


def an_id_that_one_side_does_not_name(bench: Bench) -> None:
    """A GGUF names no padding id, the folder does not speak of one for unknown tokens: nothing differs."""
    _vocabulary(bench, alike=({"eos": 2, "pad": None}, {"eos": 2, "pad": 0, "unk": 1}))


def one_of_two_ids_moved(bench: Bench) -> None:
    """The text begins in the same way and ends elsewhere."""
    _vocabulary(bench, "ids", moved=({"bos": 1, "eos": 2}, {"bos": 1, "eos": 3}))


def an_id_that_only_the_teacher_names(bench: Bench) -> None:
    """The other way round: nothing differs."""
    _vocabulary(bench, alike=({"eos": 2, "pad": 0}, {"eos": 2, "pad": None}))


@falsifier(
    "vocabulary-identity",
    needs=("lineage",),
    measures={"differing_lists": "lists", "missing_rows": "rows"},
    controls=(
        known_good(the_same_vocabulary),
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


_COUNTED = ("foreign_tensors", "missing_candidates")
_CHOSEN = (0, 1)


def _cut(bench: Bench, wrong: Collection[str] = ()) -> dict[str, Any]:
    """An init cut as the bars demand, but for what is in `wrong`; what its audit says."""
    if wrong and not any(name in bench.bars for name in wrong):
        bench.bar(next(iter(wrong))).failing()

    def found(name: str, otherwise: float) -> float:
        bar, whole = bench.bar(name), name in _COUNTED
        find = bar.failing if name in wrong and name in bench.bars else bar.holding
        return find(otherwise if name in wrong else 0, low=0, high=1000, whole=whole)

    off, better = found("loss_difference", 0.5), found("better_choice", 0.25)
    missing, foreign = (int(found(name, 2)) for name in reversed(_COUNTED))
    # Losses from 2 on; where differences are to be just so, from 0 on, for sums are rounded.
    base = 0.0 if off or better else 2.0
    again = [{"layers": list(layers), "loss": loss} for layers, loss in ((_CHOSEN, base + better), ((0, 2), base))]
    unseen = [{"layers": [7, 8 + number], "loss": base + better} for number in range(missing)]
    common = {"teacher_loss": 2.0, "probe_windows": 4, "skip_windows": 24}
    choice = {**common, "method": "depth_prune", "candidates": again, "chosen": list(_CHOSEN), "init_loss": base + off}
    audit = {**common, "tensors": 1000, "foreign_tensors": foreign, "candidates": again + unseen, "init_loss": base}
    bench.put("init", "choice.json", choice)
    bench.put("init_redo", "again.json", audit)
    return audit


def layers_of_the_teacher(bench: Bench) -> None:
    """Cut out of the teacher, by the lowest loss of all that were to be tried."""
    _cut(bench)


def an_init_taken_as_it_is(bench: Bench) -> None:
    """Nothing was chosen, so nothing is compared but tensors and losses."""
    audit = {**_cut(bench), "candidates": []}
    for name in ("missing_candidates", "better_choice"):
        bench.bar(name).holding(0, low=0, high=0)
    off = bench.bar("loss_difference").holding(0.0, low=0)
    loaded = {"method": "load", "chosen": None, "init_loss": off}
    bench.put("init", "choice.json", {**audit, **loaded})
    bench.put("init_redo", "again.json", {**audit, "init_loss": 0.0})


def damaged_layers(bench: Bench) -> None:
    """Two tensors of the init are no longer the teacher's: less to begin with, and more to gain."""
    _cut(bench, ("foreign_tensors",))


def losses_that_were_made_up(bench: Bench) -> None:
    """The losses by which layers were chosen are not those of these layers."""
    _cut(bench, ("loss_difference",))


def an_init_said_to_begin_lower(bench: Bench) -> None:
    """Its loss is higher than was written down."""
    audit = _cut(bench, ("loss_difference",))
    off = bench.bar("loss_difference").failing(0.5, low=0)
    told = {"chosen": list(_CHOSEN), "candidates": audit["candidates"][:2]}
    bench.put("init", "choice.json", {**audit, **told, "init_loss": 0.0})
    bench.put("init_redo", "again.json", {**audit, "init_loss": off})


def a_candidate_said_to_be_worse(bench: Bench) -> None:
    """The loss of one that was not chosen was made up; the others are right."""
    audit = _cut(bench, ("loss_difference",))
    off = bench.bar("loss_difference").failing(0.5, low=0)
    told = [audit["candidates"][0], {"layers": [0, 2], "loss": off}]
    bench.put("init", "choice.json", {**audit, "chosen": list(_CHOSEN), "candidates": told})


def candidates_left_out(bench: Bench) -> None:
    """Two choices were never tried."""
    _cut(bench, ("missing_candidates",))


def the_worse_layers(bench: Bench) -> None:
    """Other layers begin better: an init that was chosen to lose."""
    _cut(bench, ("better_choice",))


def chosen_on_other_windows(bench: Bench) -> None:
    """The windows that chose are not those that were declared for it."""
    bench.put("init_redo", "again.json", {**_cut(bench), "skip_windows": 0})


def layers_that_were_no_candidate(bench: Bench) -> None:
    """What was chosen was never to be chosen."""
    audit = _cut(bench)
    bench.put("init_redo", "again.json", {**audit, "candidates": audit["candidates"][1:]})


@falsifier(
    "init-as-declared",
    needs=("init", "init_redo"),
    measures={
        "foreign_tensors": "tensors",
        "loss_difference": "nat/token",
        "missing_candidates": "candidates",
        "better_choice": "nat/token",
    },
    controls=(
        known_good(layers_of_the_teacher),
        known_good(an_init_taken_as_it_is),
        known_bad(damaged_layers),
        known_bad(losses_that_were_made_up),
        known_bad(an_init_said_to_begin_lower),
        known_bad(a_candidate_said_to_be_worse),
        known_bad(candidates_left_out),
        known_bad(the_worse_layers),
        known_unusable(chosen_on_other_windows, raises=ValueError),
        known_unusable(layers_that_were_no_candidate, raises=ValueError),
    ),
)
def init_as_declared(context: Context) -> Iterator[Measurement]:
    """Refuted when the init is not made of its source's tensors, or its layers are not those that do best.

    `foreign_tensors` are not the source's; `loss_difference` is the largest between losses as they were written down
    and as they are found again; `missing_candidates` were tried by one side only; `better_choice` is by how much the
    best candidate begins lower than the chosen one.
    """
    choice, again = context.evidence("init").json("choice.json"), context.evidence("init_redo").json("again.json")
    for name in ("probe_windows", "skip_windows"):
        if choice[name] != again[name]:
            raise ValueError(f"the init was chosen with {name} = {choice[name]}, declared is {again[name]}")
    yield Measurement("foreign_tensors", again["foreign_tensors"], "tensors", n=again["tensors"])
    told, found = ({tuple(row["layers"]): row["loss"] for row in each["candidates"]} for each in (choice, again))
    pairs = [(choice[name], again[name]) for name in ("init_loss", "teacher_loss")]
    pairs += [(told[layers], found[layers]) for layers in told.keys() & found.keys()]
    yield Measurement("loss_difference", max(abs(one - other) for one, other in pairs), "nat/token", n=len(pairs))
    yield Measurement("missing_candidates", len(told.keys() ^ found.keys()), "candidates", n=max(1, len(found)))
    chosen = choice["chosen"]
    if chosen is not None and tuple(chosen) not in found:
        raise ValueError(f"layers {chosen} were chosen, and are none of the candidates")
    better = 0.0 if chosen is None else found[tuple(chosen)] - min(found.values())
    yield Measurement("better_choice", better, "nat/token", n=max(1, len(found)))
