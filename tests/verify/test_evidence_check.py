"""`--store`: exhibits and inputs are read out of the evidence again, and must be those that were signed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evidence_examples import TRAINING_SUMMARY, evaluation, result
from refute.attest import generate_key, load_private_key
from refute.errors import VerificationError
from refute.evidence.manifest import manifest_digest
from refute.judge.exhibits.inputs import gather_inputs
from refute.judge.exhibits.sections import exhibits
from refute.judge.judge_run import Operator, judge_run
from refute.judge.predicate.exhibits import Exhibits
from refute.judge.predicate.inputs import Inputs
from refute.judge.predicate.model import Predicate
from refute.judge.run.folder import EvidenceLine, RunFolder
from refute.verify.evidence_check import check_evidence

MakeRun = Callable[..., RunFolder]
ROOT = Path(__file__).parents[2]
FILES: dict[str, dict[str, str]] = {
    "student": {
        "summary.json": json.dumps(TRAINING_SUMMARY),
        "evals.jsonl": "".join(f"{json.dumps(evaluation(step, ce))}\n" for step, ce in ((0, 3.5), (9, 2.25))),
    },
    "humaneval_student": {
        "results.jsonl": json.dumps(result("HumanEval/0", "passed")) + "\n",
    },
}


@pytest.fixture
def predicate(make_run: MakeRun, tmp_path: Path) -> Predicate:
    """A verdict on a distillation with little evidence, all of it in `tmp_path / "store"`."""
    key = load_private_key(generate_key(tmp_path / "keys", "judge").private)
    honest = judge_run(make_run(), Operator(key, development=False)).predicate
    text = (ROOT / "specs" / "releases" / "quick.yaml").read_text(encoding="utf-8")
    lines: dict[str, EvidenceLine] = {}
    for name, files in FILES.items():
        folder = tmp_path / "evidence" / name
        folder.mkdir(parents=True)
        digests: dict[str, str] = {}
        for file, content in files.items():
            (folder / file).write_text(content, encoding="utf-8")
            digests[file] = hashlib.sha256(content.encode()).hexdigest()
            path = tmp_path / "store" / "objects" / digests[file][:2] / digests[file]
            path.parent.mkdir(exist_ok=True)
            path.write_text(content, encoding="utf-8")
        lines[name] = EvidenceLine(name=name, digest=manifest_digest(digests), folder=str(folder), files=digests)
    update = {
        "release": honest.release.model_copy(update={"text": text}),
        "evidence": {name: dict(line.files) for name, line in lines.items()},
        "exhibits": exhibits(lines, honest.records),
        "inputs": gather_inputs(lines),
    }
    return honest.model_copy(update=update)


@pytest.mark.slow
def test_what_the_evidence_gives_is_accepted(predicate: Predicate, tmp_path: Path) -> None:
    """Curves, grid, sections and inputs come out of the store's files as they went in, and nothing is left behind."""
    before = sorted((tmp_path / "store").rglob("*"))
    assert predicate.exhibits.curves
    assert predicate.inputs.training["student"].seed == 17
    checks = check_evidence(predicate, tmp_path / "store")
    assert checks == ["3 evidence files hashed again", "exhibits and inputs derived from them again"]
    assert sorted((tmp_path / "store").rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize("what", ["exhibits", "inputs"])
def test_what_the_evidence_does_not_give_is_refused(predicate: Predicate, tmp_path: Path, what: str) -> None:
    """A better curve or another seed than the files have; also nothing where they have something."""
    curve = predicate.exhibits.curves[0]
    better = predicate.exhibits.model_copy(update={"curves": (curve.model_copy(update={"values": (3.5, 1.0)}),)})
    training = {"student": predicate.inputs.training["student"].model_copy(update={"seed": 18})}
    other = predicate.inputs.model_copy(update={"training": training})
    for forged in (better, Exhibits()) if what == "exhibits" else (other, Inputs()):
        with pytest.raises(VerificationError, match=f"the {what} in the verdict are not what its evidence") as caught:
            check_evidence(predicate.model_copy(update={what: forged}), tmp_path / "store")
        assert caught.value.cause == what


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file"), [("../../outside", "x.json"), ("student", "../x.json"), ("student", "/etc/x"), ("x" * 300, "x")]
)
def test_evidence_with_names_that_lead_elsewhere_is_refused(
    predicate: Predicate, tmp_path: Path, name: str, file: str
) -> None:
    """Names come from the signed file, and a signer is not a friend: nothing is linked outside a folder of its own."""
    digest = predicate.evidence["student"]["summary.json"]
    evil = predicate.model_copy(update={"evidence": {name: {file: digest}}})
    with pytest.raises(VerificationError, match="cannot be read again") as caught:
        check_evidence(evil, tmp_path / "store")
    assert caught.value.cause == "evidence"


@pytest.mark.slow
def test_evidence_that_is_no_such_file_is_refused(predicate: Predicate, tmp_path: Path) -> None:
    """Signed evidence that the reports cannot be made from is an error of the verdict, not of the verifier."""
    digest = predicate.evidence["student"]["evals.jsonl"]
    evil = predicate.model_copy(update={"evidence": {"student": {"summary.json": digest}}})
    with pytest.raises(VerificationError, match="cannot be read again"):
        check_evidence(evil, tmp_path / "store")
