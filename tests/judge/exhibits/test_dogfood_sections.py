"""Nine sections about refute itself: what was observed is shown as it was found, what was not built is never passed."""

from __future__ import annotations

from pathlib import Path

from refute.judge.exhibits.sections import exhibits
from refute.judge.predicate.exhibits import Section
from refute.judge.run.folder import EvidenceLine
from refute.spec.experiments.evidence.dogfood import Observation, SabotagedBuild
from refute.spec.experiments.evidence_files import OBSERVATIONS, SABOTAGED_BUILDS

BUILDS = [
    SabotagedBuild(name=name, probe="P2", target="refute.cli.run:tell_failure", what="errors end in 0")
    for name in ("noticed", "missed")
]


def seen(probe: str, subject: str, state: str, build: str = "") -> Observation:
    """One observation."""
    content = {"build": build, "probe": probe, "subject": subject, "state": state, "found": f"of {subject}"}
    return Observation.model_validate(content)


def sections(folder: Path, *rows: Observation) -> dict[int, Section]:
    """By number."""
    OBSERVATIONS.write(folder, rows)
    SABOTAGED_BUILDS.write(folder, BUILDS)
    files = {each.name: "d" * 64 for each in (OBSERVATIONS, SABOTAGED_BUILDS)}
    line = EvidenceLine(name="dogfood", digest="d" * 64, folder=str(folder), files=files)
    return {each.number: each for each in exhibits({"dogfood": line}, ()).sections}


def test_sections_show_what_was_observed_in_this_build(tmp_path: Path) -> None:
    """What a sabotaged build did stands in none but as noticed."""
    found = sections(
        tmp_path,
        seen("P11", "model run model", "kept"),
        seen("P11", "model run model.gguf", "broken"),
        seen("P11", "model run model", "broken", "noticed"),
        seen("P2", "gate", "kept"),
        seen("P2", "gate", "broken", "noticed"),
        seen("P2", "gate", "kept", "missed"),
    )
    assert sorted(found) == list(range(1, 10))
    labels = [each.label for each in found[3].facts]
    assert labels == ["model run model: kept", "model run model.gguf: broken"]
    told = {each.label: each.value for each in found[7].facts}
    assert told["P2"] == "1 kept; noticed 1 of 2 sabotaged builds"
    assert told["P11"] == "1 kept, 1 broken; noticed 0 of 0 sabotaged builds"


def test_what_nobody_has_built_is_not_run(tmp_path: Path) -> None:
    """And neither is what nothing was observed of."""
    found = sections(tmp_path, seen("P2", "gate", "kept"))
    assert {number for number, each in found.items() if each.state == "not_run"} == {1, 2, 3, 4, 5, 6, 8, 9}
    assert all(each.note for each in found.values() if each.state == "not_run")
    assert "not built" in found[2].note
