"""What probes make of calls: real ones of this build, and calls that contradict themselves."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refute.engines.dogfood.builds import SABOTAGES
from refute.engines.dogfood.called import Build, Called, Words
from refute.engines.dogfood.command_tree import Command, Option, commands
from refute.engines.dogfood.probes.cascade import cascade
from refute.engines.dogfood.probes.chaos import chaos
from refute.engines.dogfood.probes.endings import endings
from refute.engines.dogfood.probes.fallback import fallback
from refute.engines.dogfood.probes.flags import flags
from refute.engines.dogfood.probes.machine_output import machine_output, shapes
from refute.engines.dogfood.probes.numbers import numbers
from refute.engines.dogfood.probes.phantoms import phantoms
from refute.engines.dogfood.probes.version import version
from refute.engines.dogfood.seen import Probe
from refute.engines.dogfood.shapes import last_shapes

JSON = Option("--json", is_flag=True, required=False, kind="bool", choices=(), default="False")
DEVICE = Option("--device", is_flag=False, required=False, kind="Device", choices=("cpu", "cuda"), default="cpu")
INSPECT = Command(("model", "inspect"), (JSON,))
CERTIFY = Command(("distill", "certify"), (DEVICE,))
FINE = Called((), 0, "fine\n", "", {})
Answer = Callable[[Words], Called]


class Answering(Build):
    """A build that answers by hand."""

    def __init__(self, place: Path, answer: Answer) -> None:
        (place / "model").mkdir(exist_ok=True)
        super().__init__(place, place)
        self.answer = answer

    def call_all(self, calls: Any) -> list[Called]:
        """What it is told to answer."""
        for words in calls:
            told = self.answer(words)
            self._known[words] = Called(words, told.status, told.out, told.err, told.files)
        return [self._known[words] for words in calls]

    def again(self, *words: str) -> Called:
        """The same."""
        return self.answer(words)


def states(probe: Probe, build: Build, command: Command) -> list[str]:
    """What `probe` says of `command`, in its order."""
    return [each.state for each in probe(build, [command])]


def refusing(words: Words) -> Called:
    """Refuses whatever is not the plain call, in words and, where asked, as an object."""
    if words[-1] == "--json" and "absent/model" in words:
        return Called(words, 2, json.dumps({"status": 2}), "refute: no such model\n", {})
    wrong = "absent/model" in words or "--no-such-option" in words
    return Called(words, 2, "", "refute: no\n", {}) if wrong else FINE


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (refusing, "kept"),
        (lambda _words: FINE, "broken"),
        (lambda words: Called(words, 0, "", refusing(words).err, {}), "broken"),
        (lambda words: Called(words, refusing(words).status, "", "", {}), "broken"),
        (lambda words: Called(words, -9, "", "refute: killed", {}), "broken"),
        (lambda words: Called(words, 7, "", "Traceback (most recent call last):\n", {}), "broken"),
        (lambda words: Called(words, refusing(words).status, '{"status": 0}', refusing(words).err, {}), "broken"),
        (lambda words: Called(words, 3 if words[-1] == "--json" else 0, "{}", "", {}), "broken"),
    ],
)
def test_endings_that_contradict_their_message(tmp_path: Path, answer: Answer, state: str) -> None:
    """A status of 0 beside an error, an error without a word, a signal, a traceback, an object that says otherwise."""
    assert states(endings, Answering(tmp_path, answer), INSPECT)[1:] == [state]


@pytest.mark.parametrize(
    ("with_option", "state"),
    [
        (FINE, "broken"),
        (Called((), 1, "fine\n", "", {}), "kept"),
        (Called((), 0, "finer\n", "", {}), "kept"),
        (Called((), 0, "fine\n", "", {"made": "a" * 64}), "kept"),
        (Called((), 2, "", "Usage: …\nInvalid value for '--json'\n", {}), "untried"),
    ],
)
def test_an_option_that_changes_nothing_is_broken(tmp_path: Path, with_option: Called, state: str) -> None:
    """A status, a line or a file: what the parser refuses the command has not seen."""
    build = Answering(tmp_path, lambda words: with_option if "--json" in words else FINE)
    assert states(flags, build, INSPECT) == [state]


def test_lines_that_differ_between_equal_calls_show_nothing(tmp_path: Path) -> None:
    """A clock is no effect of an option."""
    clock = iter(range(100))
    build = Answering(tmp_path, lambda words: Called(words, 0, f"took {next(clock)} s\nfine\n", "", {}))
    assert states(flags, build, INSPECT) == ["broken"]


@pytest.mark.parametrize(("out", "state"), [("{}", "broken"), ('{"root_digest": NaN}', "broken"), ("{", "broken")])
def test_machine_output_without_its_keys_is_broken(tmp_path: Path, out: str, state: str) -> None:
    """Keys of the last release that are gone, NaN, and what is no JSON at all."""
    assert states(machine_output, Answering(tmp_path, lambda words: Called(words, 0, out, "", {})), INSPECT) == [state]


def test_a_shape_is_keys_and_types(tmp_path: Path) -> None:
    """Whole numbers and others are one type: a float may come out whole."""
    build = Answering(tmp_path, lambda words: Called(words, 0, '{"a": [1], "b": {"c": 0.5, "d": null}}', "", {}))
    assert shapes(build, [INSPECT]) == {"model inspect": {"a": ["number"], "b": {"c": "number", "d": "NoneType"}}}


def test_keys_that_are_data_are_no_shape(tmp_path: Path) -> None:
    """Names of files and packages come and go; what stands under them keeps its shape, where null hides none."""
    out = '{"versions": {"torch": null, "jinja2-x": {"at": 1}, "rich": {"at": null, "by": "us"}}}'
    build = Answering(tmp_path, lambda words: Called(words, 0, out, "", {}))
    assert shapes(build, [INSPECT])["model inspect"] == {"versions": {"*": {"at": "number", "by": "str"}}}


def test_shapes_of_the_last_release_are_kept_in_order() -> None:
    """One line a command that has --json, as the evidence holds them."""
    kept = list(last_shapes())
    assert kept == sorted(each.name for each in commands() if any(option.name == "--json" for option in each.options))


@pytest.mark.parametrize(
    ("text", "broken"),
    [("nan", True), ("-inf", True), ("Infinity tokens/s", True), ("finance: nano", False), ("--infinite", False)],
)
def test_numbers_that_are_none_are_seen(tmp_path: Path, text: str, *, broken: bool) -> None:
    """As words of their own."""
    build = Answering(tmp_path, lambda words: Called(words, 1 if words[2].startswith("nan-") else 0, text, "", {}))
    assert ("broken" in states(numbers, build, INSPECT)) is broken


def test_a_planted_nan_that_passes_is_broken(tmp_path: Path) -> None:
    """Every command that judges a model has to end in another status than 0."""
    found = states(numbers, Answering(tmp_path, lambda _words: FINE), INSPECT)
    assert found == ["kept", "broken", "broken"]


def test_a_refusal_of_what_is_sound_shows_nothing(tmp_path: Path) -> None:
    """Whoever refuses every model has not noticed a NaN in one."""
    found = states(numbers, Answering(tmp_path, lambda words: Called(words, 1, "no", "", {})), INSPECT)
    assert found == ["kept", "broken", "broken"]


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ("fine", "kept"),
        ("not implemented", "broken"),
        ("see `refute nowhere`", "broken"),
        ("see `refute gate`", "kept"),
    ],
)
def test_phantoms(tmp_path: Path, told: str, state: str) -> None:
    """Commands that do nothing yet, and texts that name what there is not."""
    build = Answering(tmp_path, lambda words: Called(words, 0, told, "", {}))
    assert states(phantoms, build, INSPECT) == [state]


def test_help_that_names_a_phantom_is_seen_as_it_was_written(tmp_path: Path) -> None:
    """What a terminal shows of it has no marks."""
    command = Command(("model", "inspect"), (JSON,), "See `refute nowhere`.")
    assert states(
        phantoms, Answering(tmp_path, lambda words: Called(words, 0, "See refute nowhere.", "", {})), command
    ) == ["broken"]


@pytest.mark.parametrize(
    ("other", "state"),
    [((4, "", "refute: no"), "kept"), ((0, "GO", ""), "broken"), ((0, "", "not counted: verdict.json"), "kept")],
)
def test_what_another_key_signed_does_not_count(tmp_path: Path, other: tuple[int, str, str], state: str) -> None:
    """It is refused, or listed as what it is."""
    verify = Command(("verify",), ())
    build = Answering(
        tmp_path,
        lambda words: Called(words, *other, {}) if "keys/ann.pub" in words else refusing(words),
    )
    assert states(endings, build, verify)[1:] == [state]


@pytest.mark.parametrize(
    ("status", "said", "state"), [(1, "NO-GO: no", "kept"), (0, "NO-GO: no", "broken"), (1, "GO: all", "broken")]
)
def test_a_gate_that_refuses_ends_in_1(tmp_path: Path, status: int, said: str, state: str) -> None:
    """What a script asks is the status, and what a person reads is the line."""
    build = Answering(
        tmp_path,
        lambda words: Called(words, status, said, "", {}) if "worse.yaml" in words else refusing(words),
    )
    assert states(endings, build, Command(("gate",), ()))[-1] == state


def test_a_silent_fallback_is_broken(tmp_path: Path) -> None:
    """Who asked for a GPU is told that there is none."""
    assert states(cascade, Answering(tmp_path, lambda _words: FINE), CERTIFY) == ["broken"]
    told = Answering(tmp_path, lambda words: Called(words, 7, "", "refute: device cuda: torch finds 0 GPUs", {}))
    assert states(cascade, told, CERTIFY) == ["kept"]


LINT = Command(("model", "lint"), ())
BENCH = Command(("model", "bench"), ())


@pytest.mark.parametrize(
    ("faulty", "sound", "state"), [(1, 0, "kept"), (2, 0, "kept"), (0, 0, "broken"), (1, 1, "broken")]
)
def test_a_model_that_nobody_can_use_is_refused(tmp_path: Path, faulty: int, sound: int, state: str) -> None:
    """By who passes the sound one: seven faults, in both formats."""
    build = Answering(
        tmp_path, lambda words: Called(words, sound if words[2] in ("model", "model.gguf") else faulty, "", "no", {})
    )
    assert states(fallback, build, LINT) == [state] * 7


@pytest.mark.parametrize(
    ("status", "seconds", "state"), [(130, 0.1, "kept"), (0, 0.1, "broken"), (-2, 0.1, "broken"), (130, 9.0, "broken")]
)
def test_an_interrupt_ends_in_its_status_and_soon(tmp_path: Path, status: int, seconds: float, state: str) -> None:
    """What ends well, by the signal itself, or late has not been told to end."""

    class Interrupted(Answering):
        def interrupted(self, *words: str) -> tuple[Called, float]:
            return Called(words, status, "", "refute: interrupted", {}), seconds

    assert states(chaos, Interrupted(tmp_path, lambda _words: FINE), BENCH) == [state]


# ------------------------------------------------------------------------------------------------ real calls


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """refute as it is, in a folder with one file."""
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "old.txt").write_text("old", encoding="utf-8")
    return Build(tmp_path / "place", tmp_path / "calls")


@pytest.mark.slow
def test_a_call_is_what_the_command_line_does(build: Build) -> None:
    """Status, both streams, the files that it made; the folder itself stays as it was."""
    called = build.call("keygen", "mine", "--directory", "keys")
    assert (called.status, called.err, sorted(called.files)) == (0, "", ["keys/mine.key", "keys/mine.pub"])
    assert "private key: keys/mine.key" in called.out
    refused = build.call("power", "absent.yaml")
    assert (refused.status, refused.files) == (2, {})
    assert "absent.yaml" in refused.err
    assert [each.name for each in build.place.iterdir()] == ["old.txt"]


def test_a_call_holds_no_descriptor_of_its_parent(build: Build) -> None:
    """Else one could write among the events of the experiment that makes it."""
    reading, writing = os.pipe()

    def plant() -> None:
        os.write(writing, b"{}")

    ended = Build(build.place, build.scratch, "writing", plant).call("--version")
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        assert stream.read() == b""
    assert ended.status == 70
    assert "Bad file descriptor" in ended.err


@pytest.mark.slow
def test_a_sabotaged_build_is_told_from_this_one(build: Build) -> None:
    """What is planted is there in the called process, and nowhere else."""
    sabotage = next(each for each in SABOTAGES if each.name == "another-version")
    sabotaged = Build(build.place, build.scratch, sabotage.name, sabotage.planted())
    assert [each.state for b in (build, sabotaged, build) for each in version(b, [])] == ["kept", "broken", "kept"]


@pytest.mark.slow
def test_what_lies_there_is_not_overwritten(build: Build) -> None:
    """A second call finds what somebody else has put where its result goes."""
    sabotage = next(each for each in SABOTAGES if each.name == "overwrites")
    sabotaged = Build(build.place, build.scratch, sabotage.name, sabotage.planted())
    keygen = Command(("keygen",), ())
    assert [state for each in (build, sabotaged) for state in states(chaos, each, keygen)] == ["kept", "broken"]


@pytest.mark.slow
def test_a_call_is_interrupted_as_by_a_terminal(build: Build) -> None:
    """Once it has said something, it and what it has started."""

    def plant() -> None:
        os.write(1, b"begun")
        signal.pause()

    called, _ = Build(build.place, build.scratch, "waiting", plant).interrupted("--version")
    assert (called.status, called.out) == (70, "begun")
    assert "KeyboardInterrupt" in called.err
