"""Controls and the bench on which they lay out evidence."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refute import Bench, Outcome, known_bad, known_good, known_unusable
from refute.errors import EvidenceError, RegistrationError
from refute.falsifier.context import Evidence


def a_plain_name(bench: Bench) -> None:
    """Nothing."""


def _hidden_one_(bench: Bench) -> None:
    """Nothing."""


def test_a_control_is_named_after_its_function_or_by_name() -> None:
    """Underscores become spaces, leading ones go; `name=` wins."""
    assert known_good(a_plain_name).name == "a plain name"
    assert known_bad(_hidden_one_).name == "hidden one"
    assert known_bad(lambda bench: None, name="an endless loop").name == "an endless loop"


def test_known_good_and_known_bad_demand_opposite_outcomes() -> None:
    """The good one must stand, the bad one must fall."""
    assert known_good(a_plain_name).expected is Outcome.CORROBORATED
    assert known_bad(a_plain_name).expected is Outcome.FALSIFIED


@pytest.mark.parametrize("build", [lambda bench: None, functools.partial(a_plain_name)])
def test_a_control_without_a_name_is_refused(build: Any) -> None:
    """A record could not say which control misbehaved; blanks are no name either."""
    with pytest.raises(RegistrationError, match="a control needs a name"):
        known_good(build)
    with pytest.raises(RegistrationError, match="a control needs a name"):
        known_good(build, name="  ")


@pytest.mark.parametrize("build", [None, {"rows": []}, "text"])
def test_a_control_must_be_a_function(build: Any) -> None:
    """`known_bad(build(bench))`, calling it in place of naming it, gives None."""
    with pytest.raises(RegistrationError, match="built by a function of a Bench"):
        known_bad(build)


@pytest.mark.parametrize("raises", [(), "ValueError", SystemExit, BaseException, (ValueError, 3), ValueError("x")])
def test_what_a_falsifier_may_raise_is_a_type_of_exception(raises: Any) -> None:
    """Not an instance, not a name, and nothing that only ends a process."""
    with pytest.raises(RegistrationError, match="`raises` must be a type of exception or several, found "):
        known_unusable(a_plain_name, raises=raises)
    assert known_unusable(a_plain_name).expected is Outcome.ERROR
    assert known_unusable(a_plain_name, raises=ValueError).raises == (ValueError,)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty bench with one parameter."""
    return Bench(tmp_path, {"step": 100}, {})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x00\xff", b"\x00\xff"),
        ("h\u00e9 \u2028", "h\u00e9 \u2028".encode()),
        ({"b": 1, "a": [None, True]}, b'{"a": [null, true], "b": 1}'),
        ([{"b": 1}, {"a": 2}], b'{"b": 1}\n{"a": 2}\n'),
        ([], b""),
    ],
)
def test_put_writes_each_kind_of_content(
    bench: Bench, content: bytes | str | Mapping[str, Any] | Sequence[Mapping[str, Any]], expected: bytes
) -> None:
    """Bytes and text as they are, a mapping as JSON, rows as JSON Lines, in folders made for them."""
    bench.put("student", "deep/er/file", content)
    found = bench.context().evidence("student")
    assert found.path("deep/er/file").read_bytes() == expected
    assert found.files == {"deep/er/file": hashlib.sha256(expected).hexdigest()}


def test_put_again_replaces_the_file(bench: Bench) -> None:
    """A control may build on another and change one file of it."""
    bench.put("student", "summary.json", {"steps": 1})
    bench.put("student", "summary.json", {"steps": 2})
    assert bench.context().evidence("student").json("summary.json") == {"steps": 2}


def test_arrays_come_back_as_they_were(bench: Bench) -> None:
    """Values, shape and dtype survive safetensors, also of a transposed view."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    bench.put_arrays("probe", "probe.safetensors", {"x": np.ascontiguousarray(array), "n": np.array([7], np.int64)})
    found = bench.context().evidence("probe").arrays("probe.safetensors")
    np.testing.assert_array_equal(found["x"], array)
    assert (str(found["x"].dtype), found["n"].tolist()) == ("float32", [7])


def test_a_falsifier_sees_the_bench_only(tmp_path: Path) -> None:
    """Real evidence does not shine through where a control laid out none."""
    (tmp_path / "real.json").write_text("{}", encoding="utf-8")
    real = {"student": Evidence("student", "d", tmp_path, {"real.json": "0" * 64})}
    bench = Bench(tmp_path / "bench", {}, real)
    bench.put("corpus", "a.json", {})
    context = bench.context()
    with pytest.raises(EvidenceError, match="'student' was not provided; available here: corpus") as caught:
        context.evidence("student")
    assert "bench.put('student'" in caught.value.hint
    assert bench.real["student"].json("real.json") == {}


def test_two_benches_share_nothing(tmp_path: Path) -> None:
    """What one control lays out is not there for the next."""
    first, second = (Bench(tmp_path / name, {}, {}) for name in "ab")
    first.put("corpus", "a.json", {})
    with pytest.raises(EvidenceError, match="available here: nothing"):
        second.context().evidence("corpus")


def test_numbers_that_are_not_finite_do_not_survive_a_bench(bench: Bench) -> None:
    """A control that lays out NaN is found out when the falsifier reads it."""
    bench.put("student", "a.json", {"loss": float("nan")})
    with pytest.raises(EvidenceError, match="NaN, which is not finite"):
        bench.context().evidence("student").json("a.json")
