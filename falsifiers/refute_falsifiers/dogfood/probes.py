"""Is a promise about refute's commands kept by this build, and missed by every build that was sabotaged there?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

Row = dict[str, Any]
_NEED, _OBSERVATIONS, _BUILDS = "dogfood", "observations.jsonl", "builds.jsonl"
_STATES = ("kept", "broken", "untried", "excused")
_KEPT, _MOST = 400, 10_000


def _row(bench: Bench, number: int, state: str, build: str = "") -> Row:
    probe = bench.parameters["probe"]
    return {"build": build, "probe": probe, "subject": f"subject {number}", "state": state, "found": "a line"}


def _lay_out(bench: Bench, **wrong: int) -> tuple[list[Row], list[Row]]:
    """As many subjects as the bars want, one that is excused, two sabotaged builds that are noticed; less `wrong`."""
    right = {"kept": _KEPT, "broken": 0, "untried": 0, "missed": 0}
    found = bench.values(right, wrong, low=0, high=_MOST, whole=True)
    states = [state for state in _STATES[:3] for _ in range(found[state])] + ["excused"]
    rows = [_row(bench, number, state) for number, state in enumerate(states)]
    missed = [f"missed-{number}" for number in range(found["missed"])]
    rows += [_row(bench, number, "kept", name) for number, name in enumerate(missed)]
    rows += [_row(bench, number, state, "noticed") for number, state in enumerate(("kept", "broken"))]
    builds = [{"name": name, "probe": bench.parameters["probe"]} for name in ("noticed", *missed)]
    other = "another"
    rows += [{**_row(bench, 0, "broken"), "probe": other}, {**_row(bench, 0, "untried"), "probe": other}]
    _put(bench, rows, [*builds, {"name": "of-another", "probe": other}])
    return rows, builds


def _put(bench: Bench, rows: Sequence[Row], builds: Sequence[Row]) -> None:
    bench.put(_NEED, _OBSERVATIONS, rows)
    bench.put(_NEED, _BUILDS, builds)


def all_promises_kept(bench: Bench) -> None:
    """By this build, and every sabotaged one was noticed."""
    _lay_out(bench)


def a_promise_broken(bench: Bench) -> None:
    """One command does what it must not."""
    _lay_out(bench, broken=1)


def few_looked_at(bench: Bench) -> None:
    """The probe asked hardly anything."""
    _lay_out(bench, kept=0)


def options_that_nobody_can_ask(bench: Bench) -> None:
    """Commands were added, and no call of them."""
    _lay_out(bench, untried=40)


def a_sabotaged_build_missed(bench: Bench) -> None:
    """A build that breaks the promise passes for a sound one: the probe is blind."""
    _lay_out(bench, missed=1)


def a_sabotaged_build_of_this_run(bench: Bench) -> None:
    """What the probe found broken in a build that this run has sabotaged, as if it were the build that is judged."""
    real, probe = bench.real[_NEED], bench.parameters["probe"]
    name = next(each["name"] for each in real.rows(_BUILDS) if each["probe"] == probe)
    noticed = [each for each in real.rows(_OBSERVATIONS) if each["build"] == name and each["state"] == "broken"]
    rows, builds = _lay_out(bench, broken=max(len(noticed), 1))
    own = iter([{**each, "build": ""} for each in noticed])
    # One that it did not notice leaves all kept, and this control shows it.
    kept = {"state": "broken" if noticed else "kept"}
    broken = [{**next(own, {**each, **kept})} for each in rows if each["build"] == "" and each["state"] == "broken"]
    others = [each for each in rows if each["build"] or each["state"] != "broken"]
    bench.put(_NEED, _OBSERVATIONS, [*broken, *others])
    bench.put(_NEED, _BUILDS, builds)


def nothing_observed(bench: Bench) -> None:
    """The probe was not asked."""
    rows, builds = _lay_out(bench)
    _put(bench, [each for each in rows if each["build"] or each["probe"] == "another"], builds)


def no_sabotaged_build(bench: Bench) -> None:
    """Nobody knows whether the probe could have failed."""
    rows, _ = _lay_out(bench)
    _put(bench, [each for each in rows if not each["build"]], [])


def a_sabotaged_build_that_was_not_asked(bench: Bench) -> None:
    """It is listed, and there is no observation of it."""
    rows, builds = _lay_out(bench)
    _put(bench, rows, [*builds, {"name": "silent", "probe": bench.parameters["probe"]}])


def a_state_that_is_none(bench: Bench) -> None:
    """Neither kept nor broken."""
    rows, builds = _lay_out(bench)
    _put(bench, [{**rows[0], "state": "fine"}, *rows[1:]], builds)


@falsifier(
    "dogfood-probe",
    needs=(_NEED,),
    measures={
        "kept": "observations",
        "broken": "observations",
        "untried": "observations",
        "missed": "builds",
    },
    parameters={"probe": "P2"},
    controls=(
        known_good(all_promises_kept),
        known_bad(a_promise_broken),
        known_bad(few_looked_at),
        known_bad(options_that_nobody_can_ask),
        known_bad(a_sabotaged_build_missed),
        known_bad(a_sabotaged_build_of_this_run),
        known_unusable(nothing_observed, raises=ValueError),
        known_unusable(no_sabotaged_build, raises=ValueError),
        known_unusable(a_sabotaged_build_that_was_not_asked, raises=ValueError),
        known_unusable(a_state_that_is_none, raises=ValueError),
    ),
)
def dogfood_probe(context: Context) -> Iterator[Measurement]:
    """Refuted when refute breaks a promise that `probe` asks about, or a sabotaged build of it passes the probe.

    `kept` and `broken` count commands, options or facts, `untried` those that nobody knew how to ask, `missed` the
    sabotaged builds in which the probe found nothing broken. Without such a build nothing shows that the probe can
    fail: an error.
    """
    evidence, probe = context.evidence(_NEED), context.parameters["probe"]
    rows = [each for each in evidence.rows(_OBSERVATIONS) if each["probe"] == probe]
    builds = [each["name"] for each in evidence.rows(_BUILDS) if each["probe"] == probe]
    if wrong := next((each for each in rows if each["state"] not in _STATES), None):
        raise ValueError(f"{wrong['subject']} is {wrong['state']!r}, expected one of {', '.join(_STATES)}")
    own = [each["state"] for each in rows if each["build"] == ""]
    by_build = {name: [each["state"] for each in rows if each["build"] == name] for name in builds}
    if min(map(len, (own, builds, *by_build.values()))) == 0:
        raise ValueError(f"{probe} observed {len(own)} things, and of its sabotaged builds {by_build}: expected all")
    yield Measurement("kept", own.count("kept"), "observations", n=len(own))
    yield Measurement("broken", own.count("broken"), "observations", n=len(own))
    yield Measurement("untried", own.count("untried"), "observations", n=len(own))
    yield Measurement("missed", sum("broken" not in each for each in by_build.values()), "builds", n=len(builds))
