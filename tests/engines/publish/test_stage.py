"""Staging: the student's files, a card whose numbers are the evidence's, a licence and a bill of materials."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from license_expression import get_spdx_licensing

from builtin_uses import REGISTRY, USES
from refute.disk import file_sha256
from refute.engines.publish.card.licences import LICENCES
from refute.engines.publish.push import StagedRelease
from refute.errors import ExperimentError, UsageError
from refute.falsifier.context import Context, Evidence
from refute.spec.bars.decide import control_outcome
from staged_card import evidence, staged

FALSIFIERS = ("publication-card", "publication-licence", "publication-bom", "publication-staged")


def outcomes(world: Path) -> dict[str, str]:
    """What the falsifiers of the specification say of it."""
    found = {}
    for each in world.iterdir():
        files = {path.relative_to(each).as_posix(): file_sha256(path) for path in each.rglob("*") if path.is_file()}
        found[each.name] = Evidence(each.name, "d" * 64, each, files)
    context = Context({}, found)
    uses = {use.uses: use for use in USES}
    return {name: control_outcome(uses[name], tuple(REGISTRY[name].measure(context)))[0].value for name in FALSIFIERS}


def test_what_is_staged_holds(world: Path) -> None:
    """Under the shipped bars, by falsifiers that share no line with it."""
    staged(world)
    assert outcomes(world) == dict.fromkeys(FALSIFIERS, "corroborated")


@pytest.mark.parametrize(
    ("file", "old", "new", "fallen"),
    [
        ("release/README.md", "| 2.250 |", "| 2.240 |", {"publication-card"}),
        ("release/README.md", "A model:", "A model of 7B:", {"publication-card"}),
        ("release/README.md", "## Licence", "It solves 90 percent.\n\n## Licence", {"publication-card"}),
        ("release/README.md", "## Licence", "[More Information Needed]\n\n## Licence", {"publication-card"}),
        ("release/README.md", 'license: "apache-2.0"', 'license: "mit"', {"publication-card", "publication-licence"}),
        ("release/LICENSE", "royalty-free", "costly", {"publication-licence"}),
        ("release/bom.cdx.json", "1.2", "9.2", {"publication-bom"}),
    ],
)
def test_what_is_changed_then_does_not(world: Path, file: str, old: str, new: str, fallen: set[str]) -> None:
    """Each by the falsifier whose matter it is; the manifest notices every one."""
    path = staged(world) / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    expected = fallen | {"publication-staged"}
    assert {name for name, outcome in outcomes(world).items() if outcome == "falsified"} >= expected


def test_a_hub_reads_the_card(world: Path) -> None:
    """As YAML, whatever a person wrote into the release."""
    text = (staged(world, card={"summary": "---\n}}", "languages": ["en"]}) / "release/README.md").read_text("utf-8")
    told = yaml.safe_load(text.split("---\n")[1])
    assert (told["license"], told["base_model"], told["language"]) == ("apache-2.0", ["org/teacher-135M"], ["en"])
    assert told["model-index"][0]["results"][0]["metrics"][0]["value"] == 1.2


def test_everything_is_readable_and_nothing_is_changed(world: Path) -> None:
    """Modes 0644, and the manifest is of what lies there."""
    release = StagedRelease.read(staged(world))
    names = {"README.md", "LICENSE", "bom.cdx.json", "config.json", "model.safetensors", "student-6L.F16.gguf"}
    assert {each.path for each in release.files} == names
    assert {(release.folder / name).stat().st_mode & 0o777 for name in names} == {0o644}


def test_a_licence_that_is_none_stops_it(world: Path) -> None:
    """Before anything is written."""
    with pytest.raises(UsageError, match="'unknown' names no licence"):
        staged(world, licence="unknown")
    assert list((world / "staged").iterdir()) == []


def test_a_number_that_is_missing_stops_it(world: Path) -> None:
    """A card is not written with a gap."""
    evidence(world, "humaneval_init", {"summary.json": {}})
    with pytest.raises(ExperimentError, match=r"humaneval_init/summary\.json has no number pass_at_1"):
        staged(world)


def test_every_licence_that_spdx_has_is_one_of_its_list() -> None:
    """By license-expression, which carries that list."""
    licensing = get_spdx_licensing()
    named = sorted({each for each in LICENCES.values() if each})
    assert [each for each in named if licensing.validate(each).errors] == []
