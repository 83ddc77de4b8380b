"""`refute eval compare`: paired figures against hand-made tables, and files that cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from json_lines import write_rows
from refute import stats
from refute.cli.eval.figures import compare, pass_intervals

if TYPE_CHECKING:
    from tests.conftest import Cli


def results(path: Path, passes: str, *, n: int = 1, **identity: object) -> Path:
    """A results file: one letter a sample, `+` for a pass, `n` samples a problem; with an identity if one is given."""
    rows = [
        {"task_id": f"t/{number // n}", "completion": "", "result": "", "passed": letter == "+"}
        for number, letter in enumerate(passes)
    ]
    path.parent.mkdir(exist_ok=True)
    write_rows(path, rows)
    if identity:
        path.with_name(f"{path.name}.run.json").write_text(json.dumps(identity), encoding="utf-8")
    return path


@pytest.mark.slow
def test_one_sample_each_is_mcnemars_test(cli: Cli, tmp_path: Path) -> None:
    """Three won and one lost of ten: the binomial test of 3 in 4, Newcombe's interval, and the problems by name."""
    a, b = results(tmp_path / "a.jsonl", "++++------"), results(tmp_path / "b.jsonl", "+++-+++---")
    ended = cli("eval", "compare", a, b, "--json")
    found = json.loads(ended.stdout)
    assert (ended.returncode, found["a"], found["b"], found["problems"]) == (0, 0.4, 0.6, 10)
    assert (found["won"], found["lost"]) == (["t/4", "t/5", "t/6"], ["t/3"])
    assert found["difference"] == pytest.approx(0.2)
    # Both tails of four tosses, 3 heads or more uneven: (4 + 1) * 2 / 16.
    assert found["p_value"] == pytest.approx(0.625)
    paired = stats.paired_difference(3, 3, 1, 3)
    assert [found["difference_intervals"][0][end] for end in ("low", "high")] == pytest.approx(
        [paired.low / 100, paired.high / 100]
    )
    assert [each["method"] for each in found["a_intervals"]] == ["Wilson", "Clopper-Pearson"]
    shown = cli("eval", "compare", a, b).stdout
    assert "McNemar   p = 0.625, exact, two-sided" in shown
    assert "won       3 of 10 problems t/4 t/5 t/6\nlost      1 of 10 problems t/3" in shown
    assert shown.count("does not say what it is a result of") == 2


@pytest.mark.slow
def test_several_samples_are_compared_over_problems(cli: Cli, tmp_path: Path) -> None:
    """Shares between 0 and 1: no p-value, said so, and an interval that one seed gives twice."""
    a = results(tmp_path / "a" / "results.jsonl", "+-" * 20, n=2)
    b = results(tmp_path / "b" / "results.jsonl", "++" * 12 + "+-" * 6 + "--" * 2, n=2)
    first, again = (
        json.loads(cli("eval", "compare", a.parent, b.parent, "--json", "--seed", 1).stdout) for _ in range(2)
    )
    assert (first["p_value"], len(first["won"]), first["lost"]) == (None, 12, ["t/18", "t/19"])
    assert first["difference_intervals"] == again["difference_intervals"]
    methods = ["Agresti-Min over problems", "bootstrap over problems"]
    assert [each["method"] for each in first["difference_intervals"]] == methods
    assert 0 < first["difference_intervals"][0]["low"] < first["difference"] == 0.25
    shown = cli("eval", "compare", a.parent, b.parent).stdout
    assert "McNemar   does not apply" in shown


@pytest.mark.slow
def test_only_the_same_problems_are_compared(cli: Cli, tmp_path: Path) -> None:
    """Another set of tasks needs --partial, and another problem file is refused though its tasks share their names."""
    a, b = results(tmp_path / "a.jsonl", "+-+"), results(tmp_path / "b.jsonl", "-+")
    ended = cli("eval", "compare", a, b)
    assert (ended.returncode, f"only in {a}, 1: t/2" in ended.stderr, "--partial" in ended.stderr) == (2, True, True)
    found = json.loads(cli("eval", "compare", a, b, "--partial", "--json").stdout)
    assert (found["problems"], found["only"]) == (2, {"a": ["t/2"], "b": []})
    results(a, "+-", problems_sha256="1", timeout_s=3)
    results(b, "+-", problems_sha256="2", timeout_s=3)
    ended = cli("eval", "compare", a, b)
    assert (ended.returncode, "SHA-256 1" in ended.stderr) == (2, True)
    results(b, "+-", problems_sha256="1", timeout_s=10)
    assert "note: timeout_s differs: 3 in A, 10 in B" in cli("eval", "compare", a, b).stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"task_id": "t/0", "passed": true}\n{"task', "r.jsonl:2: not JSON"),
        ('{"task_id": "t/0", "passed": "yes"}\n', "r.jsonl:1: expected a JSON object with"),
        ("[1]\n", "r.jsonl:1: expected a JSON object with"),
        ("\n", "the file holds no result"),
    ],
)
def test_what_is_no_results_file_is_named(cli: Cli, tmp_path: Path, text: str, message: str) -> None:
    """A damaged file is not compared over what is left of it."""
    path = tmp_path / "r.jsonl"
    path.write_text(text, encoding="utf-8")
    ended = cli("eval", "compare", path, path)
    assert (ended.returncode, message in ended.stderr) == (2, True), ended.stderr
    assert cli("eval", "compare", tmp_path / "absent", path).returncode == 2


def test_models_that_were_asked_in_two_ways_are_not_compared(cli: Cli, tmp_path: Path) -> None:
    """A system prompt is part of the protocol."""
    a = results(tmp_path / "a.jsonl", "+-", problems_sha256="x", protocol="chat_answer", system_prompt=None)
    b = results(tmp_path / "b.jsonl", "++", problems_sha256="x", protocol="chat_answer", system_prompt="Think.")
    ended = cli("eval", "compare", a, b)
    assert (ended.returncode, "system_prompt was None in A, 'Think.' in B" in ended.stderr) == (2, True), ended.stderr


@pytest.mark.slow
def test_a_run_that_its_bar_ended_early_is_not_compared(cli: Cli, tmp_path: Path) -> None:
    """With --partial neither: which problems are there depends on how it did. One that saw all of them is compared."""
    rule = {"bar": 15.0, "looks": [2, 4]}
    early = results(tmp_path / "a.jsonl", "++", sequential=rule)
    whole = results(tmp_path / "b.jsonl", "++-+", sequential=rule)
    for pair in ((early, whole), (whole, early)):
        ended = cli("eval", "compare", *pair, "--partial")
        assert (ended.returncode, "after 2 of 4 problems: a comparison would be biased" in ended.stderr) == (2, True)
    assert cli("eval", "compare", whole, whole).returncode == 0


def test_intervals_follow_from_the_shares() -> None:
    """All or nothing a problem is binomial, also of several samples; a share between is one of problems."""
    binomial = pass_intervals([1.0, 0.0, 0.0, 1.0])
    wilson = stats.wilson_interval(2, 4)
    assert (binomial[0].low, binomial[0].high) == pytest.approx((wilson.low / 100, wilson.high / 100))
    (only,) = pass_intervals([1.0, 0.5, 0.0])
    assert (only.method, only.low < 0.5 < only.high) == ("Agresti-Coull over problems", True)
    with pytest.raises(ValueError, match="at least one"):
        pass_intervals([])
    for a, b in (({}, {}), ({"t": 1.0}, {"u": 1.0})):
        with pytest.raises(ValueError, match="the same problems"):
            compare(a, b)


def test_equal_models_do_not_differ() -> None:
    """No discordant pair: p = 1, no problem won or lost, and an interval that still has a width."""
    shares = {"t/0": 1.0, "t/1": 0.0, "t/2": 0.0}
    found = compare(shares, shares)
    assert (found.p_value, found.won, found.lost, found.difference) == (1.0, (), (), 0.0)
    assert found.difference_intervals[0].low < 0 < found.difference_intervals[0].high
