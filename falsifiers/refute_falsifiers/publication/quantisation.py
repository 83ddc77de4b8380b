"""How much did quantising lose, and is each file what its label says?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

_FILE = "quantisation.json"
# By the digit in a format's name: Q8_0, Q6_K, Q5_0, Q4_K ... and the halves and wholes.
_WIDTHS = {"16": "error_16_bit", "8": "error_8_bit", "6": "error_6_bit", "5": "error_5_bit", "4": "error_4_bit"}
_FORMATS = {"16": "F16", "8": "Q8_0", "6": "Q6_K", "5": "Q5_0", "4": "Q4_0"}
_RIGHT = {"error_16_bit": 1e-4, "error_8_bit": 5e-3, "error_6_bit": 0.018, "error_5_bit": 0.04, "error_4_bit": 0.08}
_AS_LABELLED, _AT_THE_BARS = {"fallback": 0.0, "off_label": 0.0}, {"fallback": 99.0, "off_label": 90.0}
_MOST = 1 << 20


def _tensor(kind: str = "Q8_0", **changed: Any) -> dict[str, Any]:
    own: dict[str, Any] = {"name": "blk.0.ffn_up.weight", "kind": kind, "wanted": kind, "numbers": 100, "bits": 8.5}
    own["labelled"] = True
    return {**own, "not_finite": 0, "relative_l2": 0.0, **changed}


def _put(bench: Bench, *files: Mapping[str, Any]) -> None:
    bench.put("quantised", _FILE, {"reference": "m.F16.gguf", "files": files, "known_bad": {}})


def _file(tensors: Sequence[Mapping[str, Any]], label_bits: float = 8.5) -> dict[str, Any]:
    return {"file": "m.Q8_0.gguf", "label": "Q8_0", "label_bits": label_bits, "tensors": tensors}


def _lay_out(bench: Bench, labels: Mapping[str, float] = _AS_LABELLED, /, **wrong: float) -> None:
    """A file with a tensor of every width, each as far off as the bars allow or, where in `wrong`, forbid.

    `labels`: how far the file is from what its label says, as far as the bars allow that.
    """
    errors = bench.values(_RIGHT, {name: value for name, value in wrong.items() if name in _RIGHT}, low=0.0, high=1.0)
    tensors = [_tensor(_FORMATS[width], relative_l2=errors[name]) for width, name in _WIDTHS.items()]
    spoilt = bench.values({"not_finite": 0}, _only(wrong, "not_finite"), low=0, high=_MOST, whole=True)
    lost = bench.values({"fallback": labels["fallback"]}, _only(wrong, "fallback"), low=0.0, high=100.0)["fallback"]
    off = bench.values({"off_label": labels["off_label"]}, _only(wrong, "off_label"), low=0.0, high=1e4)["off_label"]
    tensors[0]["not_finite"] = spoilt["not_finite"]
    tensors += [_tensor(numbers=round(1e6 * lost), wanted="Q4_K"), _tensor(numbers=round(1e6 * (100.0 - lost)))]
    # Of embedding and head no label speaks.
    tensors.append(_tensor("F16", wanted="Q4_K", labelled=False, numbers=10**9, bits=16.0))
    files = [_file(tensors, label_bits=8.5 / (1 + off / 100))]
    # Where bars look at the worst file, a right one beside it makes nothing good.
    _put(bench, *bench.choose([[*files, _file([_tensor()])], files], _measured, failing=list(wrong)))


def _only(wrong: Mapping[str, float], name: str) -> dict[str, float]:
    return {name: wrong[name]} if name in wrong else {}


def as_good_as_formats_are(bench: Bench) -> None:
    """Rounding to blocks, and nothing else."""
    _lay_out(bench)


def as_far_from_labels_as_may_be(bench: Bench) -> None:
    """Many fell back, and a file is larger than its label, if the bars let it."""
    _lay_out(bench, _AT_THE_BARS)


def one_width_far_off(width: str) -> Any:
    """A control in which the tensors of one width are twice as far off as rounding explains."""

    def build(bench: Bench) -> None:
        """Tensors of one width alone are further off than their blocks explain."""
        _lay_out(bench, **{_WIDTHS[width]: 0.5})

    build.__name__ = f"tensors_of_{width}_bits_far_off"
    return build


def a_nan_block(bench: Bench) -> None:
    """One block whose scale is NaN."""
    _lay_out(bench, not_finite=32)


def a_label_that_nothing_follows(bench: Bench) -> None:
    """Every matrix fell back to a larger format: the label is a name."""
    _lay_out(bench, fallback=100.0)


def larger_than_its_label(bench: Bench) -> None:
    """Half as many bits again as the label says."""
    _lay_out(bench, off_label=50.0)


def smaller_than_its_label(bench: Bench) -> None:
    """A tenth of the bits that its label promises."""
    off = bench.bar("off_label").failing(90.0, low=0.0, high=99.0)
    _put(bench, _file([_tensor()], label_bits=8.5 / (1 - off / 100)))


def the_mildest_fault_of_this_run(bench: Bench) -> None:
    """Of this very student's files with a planted fault, the one that is furthest from being seen."""
    planted = bench.real["quantised"].json(_FILE)["known_bad"].values()
    _put(bench, min(planted, key=lambda each: max(t["not_finite"] + t["relative_l2"] for t in each["tensors"])))


def a_file_without_tensors(bench: Bench) -> None:
    """Nothing was compared."""
    _put(bench, _file([]))


def one_of_two_files_without_tensors(bench: Bench) -> None:
    """Of one file nothing was compared."""
    _put(bench, _file([_tensor()]), _file([]))


def a_format_of_no_known_width(bench: Bench) -> None:
    """A format for which there is no bar."""
    _put(bench, _file([_tensor("TQ1_0")]))


@falsifier(
    "publication-quantisation",
    needs=("quantised",),
    measures={**dict.fromkeys(_RIGHT, "relative"), "not_finite": "numbers", "fallback": "%", "off_label": "%"},
    controls=(
        known_good(as_good_as_formats_are),
        known_good(as_far_from_labels_as_may_be),
        *(known_bad(one_width_far_off(width)) for width in _WIDTHS),
        *(known_bad(build) for build in (a_nan_block, a_label_that_nothing_follows, larger_than_its_label)),
        known_bad(smaller_than_its_label),
        known_bad(the_mildest_fault_of_this_run),
        known_unusable(a_file_without_tensors, raises=ValueError),
        known_unusable(one_of_two_files_without_tensors, raises=ValueError),
        known_unusable(a_format_of_no_known_width, raises=ValueError),
    ),
)
def publication_quantisation(context: Context) -> Iterator[Measurement]:
    """Refuted when a tensor lost more than its format explains, holds NaN, or a file is not what its label says.

    The file of full precision is one of them. Against itself it has lost nothing (what converting lost is for
    publication-conversion), but its numbers and its label are looked at like any other's.

    `fallback` is the share of a file's weights in another format than its label says, `off_label` how many more bits or
    fewer they take than there: both without embedding, head and vectors, of which labels do not speak.
    """
    yield from _measured(context.evidence("quantised").json(_FILE)["files"])


def _measured(files: Sequence[Mapping[str, Any]]) -> Iterator[Measurement]:
    tensors = [tensor for file in files for tensor in file["tensors"]]
    if not files or any(not _spoken_of(file) for file in files):
        raise ValueError("there is no file, or one has no matrix that its label speaks of")
    by_width: dict[str, list[float]] = {width: [] for width in _WIDTHS}
    for tensor in tensors:
        by_width[_width(tensor["kind"])].append(tensor["relative_l2"])
    for width, name in _WIDTHS.items():
        yield Measurement(name, max(by_width[width], default=0.0), "relative", n=len(tensors))
    yield Measurement("not_finite", sum(each["not_finite"] for each in tensors), "numbers", n=len(tensors))
    yield Measurement("fallback", max(map(_fallback, files)), "%", n=len(files))
    yield Measurement("off_label", max(map(_off_label, files)), "%", n=len(files))


def _width(kind: str) -> str:
    digits = {"F32": "16", "F16": "16", "BF16": "16"}.get(kind, kind[1:2])
    if digits not in _WIDTHS:
        raise ValueError(f"no bar is set for tensors stored as {kind}")
    return digits


def _spoken_of(file: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tensors of which a label speaks: matrices within the layers."""
    return [each for each in file["tensors"] if each["labelled"]]


def _share(tensors: Iterable[Mapping[str, Any]], whole: Iterable[Mapping[str, Any]]) -> float:
    return 100.0 * float(sum(each["numbers"] for each in tensors)) / float(sum(each["numbers"] for each in whole))


def _fallback(file: Mapping[str, Any]) -> float:
    spoken_of = _spoken_of(file)
    return _share([each for each in spoken_of if each["kind"] != each["wanted"]], spoken_of)


def _off_label(file: Mapping[str, Any]) -> float:
    spoken_of = _spoken_of(file)
    numbers = sum(each["numbers"] for each in spoken_of)
    bits: float = sum(each["numbers"] * each["bits"] for each in spoken_of) / numbers
    return 100.0 * abs(bits / float(file["label_bits"]) - 1.0)
