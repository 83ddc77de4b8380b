"""What a verdict states beside its ruling: coverage, inputs, packages, model files; a lie in them ends in NO-GO."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from evidence_examples import CORPUS_MANIFEST, EVALUATION_SUMMARY, LINEAGE, MODEL_IDENTITY, SHA, TRAINING_SUMMARY
from model_folder import SIGNATURE, SIGNED, write_model
from refute.attest import PrivateKey, hash_model, public_pem
from refute.errors import EvidenceError, VerificationError
from refute.judge.exhibits.inputs import gather_inputs
from refute.judge.judge_run import Operator, judge_run
from refute.judge.predicate.consistency import check_consistency
from refute.judge.predicate.coverage import cover
from refute.judge.run.folder import EvidenceLine, RunFolder
from refute.judge.sign import Judged
from refute.judge.subject import file_disagreement
from refute.outcome import Outcome, Ruling
from refute.spec.criteria import parse_spec
from refute.spec.files import parse_release
from refute.verify.verification import verify_verdict
from tiny_run import MODEL_RELEASE

MakeRun = Callable[..., RunFolder]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def judge_model(make_run: MakeRun, key: PrivateKey, tmp_path: Path) -> Callable[[dict[str, bytes]], Judged]:
    """Judges a run whose subject is a model folder of these files."""

    def judge(files: dict[str, bytes]) -> Judged:
        write_model(tmp_path / "mine" / "model", files)
        return judge_run(make_run(release=MODEL_RELEASE, also=("student",)), Operator(key, development=False))

    return judge


@pytest.mark.slow
def test_a_verdict_fits_its_published_schema(make_run: MakeRun, key: PrivateKey) -> None:
    """The closed schema in contracts/ accepts an honest predicate, and no other key anywhere in what decides."""
    predicate = json.loads(judge_run(make_run(), Operator(key, development=False)).predicate.model_dump_json())
    text = (ROOT / "contracts" / "schema" / "verdict.schema.json").read_text(encoding="utf-8")
    validator = jsonschema.Draft202012Validator(json.loads(text))
    validator.validate(predicate)
    for member in ("verdict", "identity", "coverage", "subject", "model", "release", "run", "signer"):
        changed = {**predicate, member: {**predicate[member], "extra": 1}}
        assert not validator.is_valid(changed), member
    for lacking in ("verdict", "identity", "coverage", "subject", "model", "evidence", "evaluated_at"):
        assert not validator.is_valid({name: value for name, value in predicate.items() if name != lacking}), lacking


@pytest.mark.slow
def test_coverage_counts_what_was_promised(make_run: MakeRun, key: PrivateKey) -> None:
    """Criteria and falsifiers, by outcome, with those that went missing and those that attack nothing."""
    predicate = judge_run(make_run(), Operator(key, development=False)).predicate
    coverage = predicate.coverage
    assert (coverage.criteria, coverage.with_falsifier, coverage.falsifiers, coverage.recorded) == (2, 2, 2, 2)
    assert coverage.outcomes[Outcome.CORROBORATED] == sum(coverage.outcomes.values()) == 2
    specs = tuple(parse_spec(each.text, each.name) for each in predicate.specs)
    names = ["SPEC-TINY-001::AC-TINY-001::F-TINY-001", "SPEC-TINY-001::AC-TINY-002::F-TINY-002", "S::A::F"]
    registered = ["tiny-size", "other"]
    less = cover(specs, predicate.records[:1], predicate.verdict, registered=registered, deselected=names)
    assert (less.recorded, less.deselected, less.not_collected) == (1, (names[1],), ())
    assert less.orphans == ("other",)
    less = cover(specs, (), predicate.verdict, registered=(), deselected=names[:1])
    assert (less.deselected, less.not_collected) == ((names[0],), (names[1],))


def edit_run(run: RunFolder, change: Callable[[dict[str, Any]], object]) -> None:
    """Change run.json."""
    path = run.path / "run.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def edit_records(run: RunFolder, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the first record."""
    path = run.path / "records.jsonl"
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    record = json.loads(first)
    change(record)
    path.write_text("\n".join([json.dumps(record), *rest]) + "\n", encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda record: record.update(code="0" * 64), "made by code 0000"),
        (lambda record: record.update(code=""), r"made by code \(none\)"),
        (lambda record: record["controls"].append(record["controls"][0]), "does not show the controls"),
        (lambda record: record["controls"][0].update(name="other"), "does not show the controls"),
        (lambda record: record["controls"].reverse(), "does not show the controls"),
        (lambda record: record["evidence"].append(record["evidence"][0]), "does not rest on the evidence"),
    ],
)
def test_a_record_that_is_not_its_falsifiers_is_fatal(
    make_run: MakeRun, key: PrivateKey, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    """Other code, another control, other evidence: signed as NO-GO, and verifies."""
    run = make_run()
    edit_records(run, change)
    judged = judge_run(run, Operator(key, development=False))
    assert judged.predicate.verdict.ruling is Ruling.NO_GO
    refused = re.compile(f"the record of F-TINY-001 was refused: {reason}")
    assert any(refused.match(each) for each in judged.predicate.verdict.reasons)
    verify_verdict(judged.path.read_bytes(), [public_pem(key)])


@pytest.mark.slow
def test_reasons_are_written_from_the_numbers(make_run: MakeRun, key: PrivateKey) -> None:
    """Words in a record that its numbers do not give are not signed."""
    run = make_run()
    honest = judge_run(run, Operator(key, development=False)).predicate.records
    edit_records(run, lambda record: record.update(reason="splendid"))
    edit_records(run, lambda record: record["controls"][0].update(reason="as it must be"))
    predicate = judge_run(run, Operator(key, development=False)).predicate
    assert (predicate.records, predicate.verdict.ruling) == (honest, Ruling.GO)


@pytest.mark.slow
def test_a_control_that_went_missing_is_noticed(make_run: MakeRun, key: PrivateKey) -> None:
    """A third control that is declared and not shown: the two that are left would do for the judge alone."""
    run = make_run()
    edit_run(run, lambda content: content["facts"]["falsifiers"]["tiny-accuracy"]["controls"].append("a third"))
    verdict = judge_run(run, Operator(key, development=False)).predicate.verdict
    assert verdict.ruling is Ruling.NO_GO
    assert any("does not show the controls" in reason and "a third" in reason for reason in verdict.reasons)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.update(package="pack", version="1"), "pack 1, installed: not at all"),
        (lambda f: f.update(version="1"), "None 1, installed: None"),
    ],
)
def test_a_package_that_was_not_installed_is_no_origin(
    make_run: MakeRun, key: PrivateKey, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    """A run that contradicts itself is not signed."""
    run = make_run()
    edit_run(run, lambda content: change(content["facts"]["falsifiers"]["tiny-size"]))
    with pytest.raises(VerificationError, match=message):
        judge_run(run, Operator(key, development=False))


def test_a_signature_larger_than_any_is_a_fault(tmp_path: Path) -> None:
    """Whoever publishes a model may put what they like beside it, and no reader's memory holds a terabyte."""
    with (tmp_path / "model.sig").open("wb") as sparse:
        sparse.truncate(1 << 40)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert "has more than" in file_disagreement(tmp_path / "model.sig", hash_model(tmp_path))


@pytest.mark.slow
def test_a_model_is_listed_file_by_file(judge_model: Callable[..., Judged], tmp_path: Path) -> None:
    """Names and digests in order; the digests that follow from them; the signature beside it, by digest."""
    judged = judge_model(SIGNED | {"model.sig": SIGNATURE})
    model, manifest = judged.predicate.model, hash_model(tmp_path / "mine" / "model")
    assert judged.predicate.verdict.ruling is Ruling.GO
    assert model is not None
    assert [(each.name, each.sha256) for each in model.files] == list(manifest.as_mapping().items())
    assert (model.root_sha256, model.manifest_sha256) == (manifest.root_digest, manifest.manifest_digest)
    assert model.signature_sha256 == judged.predicate.evidence["student"]["model/model.sig"]
    assert model.serialization.model_dump() == {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": (
            "*.sigstore.json",
            ".cache/huggingface",
            ".git",
            ".gitattributes",
            ".github",
            ".gitignore",
            "model.sig",
        ),
    }


@pytest.mark.slow
def test_a_folder_of_one_file_is_a_folder(judge_model: Callable[..., Judged], tmp_path: Path) -> None:
    """Its one file's name counts: the digest is that of the folder, as `model_signing` gives it."""
    judged = judge_model({"model.gguf": b"GGUF"})
    subject = judged.predicate.subject
    assert (subject.kind, subject.sha256) == ("model_folder", hash_model(tmp_path / "mine/model").root_digest)


@pytest.mark.slow
@pytest.mark.parametrize("signature", [b"{}", None])
def test_a_signature_of_another_model_is_fatal(judge_model: Callable[..., Judged], signature: bytes | None) -> None:
    """A `model.sig` that cannot be read, or speaks of other files, makes no release: NO-GO, naming the files."""
    files = SIGNED | {"config.json": b"{ }"} if signature is None else SIGNED
    verdict = judge_model(files | {"model.sig": signature or SIGNATURE}).predicate.verdict
    assert verdict.ruling is Ruling.NO_GO
    expected = "it differs in config.json" if signature is None else "cannot be compared"
    assert any(expected in reason for reason in verdict.reasons)


@pytest.mark.slow
def test_a_signature_is_compared_where_the_reader_has_one(
    judge_model: Callable[..., Judged], key: PrivateKey, tmp_path: Path
) -> None:
    """Added after the verdict: it must speak of the same files."""
    judged, folder = judge_model(SIGNED), tmp_path / "mine" / "model"
    (folder / "model.sig").write_bytes(SIGNATURE)
    checks = verify_verdict(judged.path.read_bytes(), [public_pem(key)], model=folder).checks
    assert "model.sig is about the same files; who signed it was not checked" in checks
    (folder / "model.sig").write_bytes(b"{}")
    with pytest.raises(VerificationError, match="cannot be compared") as caught:
        verify_verdict(judged.path.read_bytes(), [public_pem(key)], model=folder)
    assert caught.value.cause == "model_signature"


@pytest.mark.slow
def test_a_model_in_place_of_a_file_is_about_something_else(
    judge_model: Callable[..., Judged], key: PrivateKey, tmp_path: Path
) -> None:
    """A file where a folder was judged: stale, with the kinds in words."""
    judged = judge_model(SIGNED)
    with pytest.raises(VerificationError, match=r"about the model folder .*, which .* is not"):
        verify_verdict(judged.path.read_bytes(), [public_pem(key)], model=tmp_path / "answers.jsonl")


EVIDENCE: dict[str, dict[str, object]] = {
    "lineage/lineage.json": LINEAGE,
    "corpus/manifest.json": CORPUS_MANIFEST,
    "student/summary.json": TRAINING_SUMMARY,
    "humaneval_student/summary.json": EVALUATION_SUMMARY,
}


def lines(folder: Path, content: dict[str, dict[str, object]]) -> dict[str, EvidenceLine]:
    """Evidence with these files."""
    found: dict[str, EvidenceLine] = {}
    for name, value in content.items():
        experiment, file = name.split("/")
        (folder / experiment).mkdir(parents=True)
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
        found[experiment] = EvidenceLine(
            name=experiment, digest=SHA, folder=str(folder / experiment), files={file: SHA}
        )
    return found


def test_inputs_are_what_the_evidence_states(tmp_path: Path) -> None:
    """Teacher, init, corpus, seeds and samplers; what no evidence states is absent, never made up."""
    inputs = gather_inputs(lines(tmp_path, EVIDENCE))
    assert inputs.teacher is not None
    assert inputs.corpus is not None
    assert (inputs.teacher.weights_sha256, inputs.corpus.heldout_sha256) == (SHA, SHA)
    assert inputs.training["student"].seed == 17
    sampler = inputs.evaluations["humaneval_student"].sampler
    assert (sampler.method, sampler.temperature, sampler.n, sampler.seed) == ("argmax", 0.0, 1, None)
    assert set(inputs.training) == {"student"}
    assert gather_inputs({}).model_dump(exclude_defaults=True) == {}


@pytest.mark.parametrize(
    ("file", "member", "value"),
    [
        ("lineage/lineage.json", "teacher", {**MODEL_IDENTITY, "sha256": "short"}),
        ("student/summary.json", "seed", "17"),
        ("student/summary.json", "teacher_sha256", None),
        ("student/summary.json", "renamed", 1),
        ("corpus/manifest.json", "train_sha256", None),
        ("humaneval_student/summary.json", "effective_sampler", {"method": "argmax"}),
    ],
)
def test_evidence_that_states_something_else_is_an_error(tmp_path: Path, file: str, member: str, value: object) -> None:
    """Malformed digests, seeds and samplers are named with their file."""
    content = EVIDENCE | {file: {**EVIDENCE[file], member: value}}
    with pytest.raises(EvidenceError, match=f"evidence {file}: "):
        gather_inputs(lines(tmp_path, content))


@pytest.mark.slow
def test_a_run_that_starts_after_its_verdict_is_refused(make_run: MakeRun, key: PrivateKey) -> None:
    """Times must be in order, in UTC, in whole seconds."""
    predicate = judge_run(make_run(), Operator(key, development=False)).predicate
    specs = tuple(parse_spec(each.text, each.name) for each in predicate.specs)
    release = parse_release(predicate.release.text, predicate.release.name)
    for started, message in (
        ("2999-01-01T00:00:00Z", "after it was judged"),
        ("2026-01-01T00:00:00+00:00", "not in UTC and whole seconds"),
        ("2026-01-01T00:00:00.5Z", "not in UTC and whole seconds"),
        ("0001-01-01T00:00:00+23:00", "is no time"),
        ("2026-01-01T00:00:00", "names no time zone"),
    ):
        run = predicate.run.model_copy(update={"started_at": started})
        with pytest.raises(VerificationError, match=message):
            check_consistency(predicate.model_copy(update={"run": run}), specs, release)
