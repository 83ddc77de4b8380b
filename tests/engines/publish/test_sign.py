"""What signs a release lies beside its files and holds for them; each planted fault is refuted by the shipped bars."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from builtin_uses import REGISTRY, USES
from refute.disk import file_sha256
from refute.engines.publish.experiments.sign import sign
from refute.engines.publish.rehearsal.trials import small_release
from refute.falsifier.context import Context, Evidence
from refute.job import Job
from refute.spec.bars.decide import control_outcome
from refute.spec.experiments.evidence.publication import SignedFolder, Signing
from refute.spec.experiments.evidence_files import SIGNED, SIGNING

NAME = "publication-signatures"


def outcome(folder: SignedFolder, place: Path) -> str:
    """What the falsifier says of a folder under the bars of the specification."""
    place.mkdir()
    SIGNING.write(place, Signing(staged=folder, known_bad={}))
    files = {SIGNING.name: file_sha256(place / SIGNING.name)}
    found = REGISTRY[NAME].measure(Context({}, {SIGNED: Evidence(SIGNED, "d" * 64, place, files)}))
    return control_outcome(next(use for use in USES if use.uses == NAME), tuple(found))[0].value


def test_what_is_signed_holds_and_planted_faults_do_not(make_job: Callable[..., Job], tmp_path: Path) -> None:
    """Changed, missing, of another key, or not signed at all."""
    small_release(tmp_path / "staged")
    job = make_job(SIGNED, {}, {"staged": tmp_path / "staged"})
    sign(job)
    found: Signing = SIGNING.read(job.out, SIGNED)
    assert (outcome(found.staged, tmp_path / "good"), found.staged.files) == ("corroborated", 3)
    assert {name: outcome(each, tmp_path / name) for name, each in found.known_bad.items()} == dict.fromkeys(
        ("changed_file", "missing_file", "missing_signature", "missing_verdict", "another_key"), "falsified"
    )
    assert found.known_bad["changed_file"].differing == ("model.safetensors",)
    assert {each.about for each in found.staged.signatures} == {found.staged.digest}
