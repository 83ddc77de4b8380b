"""`refute rerun --challenge`: a verdict's audits made again from its evidence, drawn anew, signed with another key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from pydantic import TypeAdapter

from distill_world import problems, sources, teacher_folder, tiny_tokenizer  # noqa: F401 - fixtures
from refute.attest import generate_key, load_private_key, public_pem
from refute.errors import UsageError, VerificationError
from refute.evidence.store.opening import open_objects
from refute.falsifier.loading import load_registry
from refute.judge.judge_run import Operator, judge_run
from refute.judge.predicate.engine import identify_engine
from refute.judge.sign import Judged
from refute.outcome import Outcome, Record
from refute.spec.files import load_release
from refute.verify.challenge.measure import Challenged, measure_again
from refute.verify.challenge.statement import Challenge, default_path, read_challenge, sign_challenge
from refute.verify.sign_off.statement import facts_of
from refute.verify.verification import verify_verdict
from silence import Silence
from tiny_run import tiny_run
from training_runs import BASE

Cli = Callable[..., CompletedProcess[str]]
USES = ("segments-drawn", "teacher-distance")


@dataclass(frozen=True)
class World:
    """A judged run over a tiny distillation, its store and keys, in `root`."""

    root: Path
    judged: Judged

    @property
    def release(self) -> Path:
        """The release file."""
        return self.root / "release.yaml"

    def key(self, name: str) -> Path:
        """A private key, made if need be."""
        path = self.root / "keys" / f"{name}.key"
        return path if path.exists() else generate_key(self.root / "keys", name).private


def spec() -> str:
    """One criterion, attacked by two falsifiers that rest on the second loop, under the shipped bars."""
    bars = {
        "segments-drawn": {"undrawn_segments": "== 0 segments"},
        "teacher-distance": {"window_difference": "<= 1e-2 nat/token"},
    }
    falsifiers = [
        {"id": f"F-TINY-{n}", "title": name, "uses": name}
        | {"thresholds": {each: {"holds_if": bar} for each, bar in bars[name].items()}}
        for n, name in enumerate(USES)
    ]
    criterion = {
        "id": "AC-TINY-1",
        "title": "Steps",
        "statement": "They lead where it says.",
        "severity": "block",
        "phase": 2,
    }
    content = {"spec": "SPEC-TINY-001", "version": 1, "title": "Tiny", "subject": "student"}
    return json.dumps({**content, "criteria": [{**criterion, "falsifiers": falsifiers}]})


def release(teacher: Path, corpus: Path, benchmark: Path) -> str:
    """Everything that such a run takes."""
    training = {**BASE, "warmup_steps": 1, "eval_every": 6}
    distillation = {
        "device": "cpu",
        "threads": 1,
        "teacher": {"format": "hf", "path": str(teacher)},
        "init": {"method": "depth_prune", "keep_layers": 2, "probe_windows": 2},
        "corpus": {"kind": "files", "path": str(corpus), "train_tokens": 3200, "heldout_tokens": 640},
        "training": training,
        "humaneval": {
            "problems": {"path": str(benchmark), "sha256": hashlib.sha256(benchmark.read_bytes()).hexdigest()},
            "prompt": "completion",
            "max_new_tokens": 4,
            "batch_size": 1,
        },
    }
    content = {"release": "tiny", "title": "Tiny steps", "run_class": "full", "operator": "nobody"}
    evidence = {"answers": "answers.jsonl", "notes": "notes.json"}
    return json.dumps({**content, "subject": "student", "evidence": evidence, "distillation": distillation})


@pytest.fixture(name="world")
def _world(tmp_path: Path, teacher_folder: Path, sources: Path, problems: Path) -> World:  # noqa: F811
    """Trained, redone and judged by the real parts."""
    registry = load_registry([])
    run = tiny_run(
        tmp_path,
        Silence(),
        spec=spec(),
        release=release(teacher_folder, sources, problems),
        falsifiers={name: registry[name].measure for name in USES},
    )
    judge = load_private_key(generate_key(tmp_path / "keys", "judge").private)
    return World(tmp_path, judge_run(run, Operator(judge, development=False)))


@pytest.mark.exhaustive  # trains, redoes and challenges in processes of their own, as a gate and a second machine do
def test_a_second_machine_finds_an_honest_run_again(world: World, cli: Cli) -> None:
    """The challenge holds, with draws of its own, and is signed; it is never overwritten."""
    asked = ["rerun", str(world.judged.path), "--challenge", "--release", str(world.release), "--store"]
    asked += [str(world.root / "store"), "--verdict-key", str(world.root / "keys" / "judge.pub")]
    done = cli(*asked, "--key", str(world.key("consumer")))
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = world.judged.path.parent.glob("challenge-*.intoto.json")
    consumer = public_pem(load_private_key(world.key("consumer")))
    found = read_challenge(file.read_bytes(), [consumer], world.judged.payload_sha256)
    assert (found.result, sorted(found.again)) == ("held", ["student_redo"])
    assert [record.uses for record in found.records] == list(USES)
    objects, files = open_objects(world.root / "store"), world.judged.predicate.evidence["student_redo"]
    drawn = json.loads(objects(files["draw.json"]).read_text(encoding="utf-8"))
    assert found.again["student_redo"].entropy != drawn["entropy"]
    assert modules_of("student", world)  # of the engine
    assert not [name for name in modules_of("student_redo", world) if name.startswith("refute.engines")]
    with pytest.raises(VerificationError):
        read_challenge(file.read_bytes(), [public_pem(load_private_key(world.key("judge")))], "0" * 64)
    assert cli(*asked, "--key", str(world.key("consumer"))).returncode == 2  # it is there already
    verify = ["verify", str(world.judged.path), "--key", str(world.root / "keys" / "judge.pub"), "--challenger"]
    done = cli(*verify, str(world.root / "keys" / "consumer.pub"))
    assert (done.returncode, ": held, 2 falsifiers" in done.stdout) == (0, True), done.stderr


def modules_of(name: str, world: World) -> list[str]:
    """What the process that made this evidence had loaded, of refute."""
    manifests = [json.loads(path.read_text(encoding="utf-8")) for path in (world.root / "store/keys").rglob("*.json")]
    (ran,) = [each["ran"] for each in manifests if each["name"] == name]
    return sorted(ran["modules"])


@pytest.mark.parametrize(
    ("outcomes", "result"),
    [
        ((Outcome.CORROBORATED, Outcome.NOT_APPLICABLE), "held"),
        ((Outcome.CORROBORATED, Outcome.ERROR, Outcome.FALSIFIED), "refuted"),
        ((Outcome.CORROBORATED, Outcome.ERROR), "open"),
        ((Outcome.NOT_APPLICABLE,), "open"),
        ((), "open"),
    ],
)
def test_only_what_every_falsifier_let_stand_has_held(
    outcomes: tuple[Outcome, ...], result: str, judged: Judged
) -> None:
    """What could not be measured has not held."""
    record = judged.predicate.records[0]
    assert Challenged({}, tuple(replace(record, outcome=outcome) for outcome in outcomes)).result == result


def test_nobody_challenges_himself(judged: Judged, tmp_path: Path, cli: Cli) -> None:
    """A key that signed the verdict says nothing new; without --challenge nothing is done."""
    asked = ["rerun", str(judged.path), "--release", str(tmp_path / "release.yaml"), "--store", str(tmp_path / "store")]
    asked += ["--key", str(tmp_path / "keys" / "judge.key"), "--verdict-key", str(tmp_path / "keys" / "judge.pub")]
    for more, said in (([], "add --challenge"), (["--challenge"], "nobody challenges himself")):
        done = cli(*asked, *more)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_a_verdict_without_audits_cannot_be_challenged(judged: Judged, tmp_path: Path) -> None:
    """It is named what it would take."""
    asked = load_release(tmp_path / "release.yaml")
    with pytest.raises(UsageError, match="nothing in this verdict can be challenged"):
        measure_again(judged.predicate, asked, tmp_path / "store", load_registry([]), tmp_path / "work", Silence())


def put_challenge(judged: Judged, key: Path, outcome: Outcome, result: str, of: str | None = None) -> None:
    """A challenge beside the verdict by this key, whose one record and whose result say so."""
    record = replace(judged.predicate.records[0], outcome=outcome)
    verified = verify_verdict(judged.path.read_bytes(), [public_pem(load_private_key(key.with_name("judge.key")))])
    content = {
        "verdict": facts_of(verified).model_dump(mode="json"),
        "result": result,
        "again": {},
        "records": [TypeAdapter(Record).dump_python(record, mode="json")],
        "platform": "elsewhere",
        "engine": identify_engine().model_dump(mode="json"),
        "signed_at": "2026-11-30T00:00:00Z",
    }
    signer = load_private_key(key)
    envelope = sign_challenge(Challenge.model_validate_json(json.dumps(content)), of or judged.payload_sha256, signer)
    default_path(judged.path, signer).write_bytes(envelope)


@pytest.mark.parametrize(
    ("outcome", "result", "of", "said"),
    [
        (Outcome.CORROBORATED, "held", None, ""),
        (Outcome.FALSIFIED, "refuted", None, "the verdict was challenged, and is refuted: "),
        (Outcome.ERROR, "open", None, "the verdict was challenged, and is open: "),
        (Outcome.FALSIFIED, "held", None, "it says held, and its own records that the verdict was refuted"),
        (Outcome.CORROBORATED, "held", "0" * 64, "speaks of another verdict"),
    ],
)
def test_a_challenge_that_is_demanded(
    outcome: Outcome, result: str, of: str | None, said: str, judged: Judged, tmp_path: Path, cli: Cli
) -> None:
    """It counts where it held, by its own records, and is about this verdict."""
    key = generate_key(tmp_path / "keys", "consumer")
    put_challenge(judged, key.private, outcome, result, of)
    asked = ["verify", str(judged.path), "--key", str(tmp_path / "keys" / "judge.pub"), "--challenger"]
    done = cli(*asked, str(key.public))
    assert (done.returncode, said in done.stderr) == (4 if said else 0, True), done.stderr


@pytest.mark.parametrize(("by", "said"), [("stranger", "no challenge by key"), ("judge", "nobody challenges himself")])
def test_a_challenge_that_is_not_there(by: str, said: str, judged: Judged, tmp_path: Path, cli: Cli) -> None:
    """Nobody's, or the signer's own."""
    if by != "judge":
        generate_key(tmp_path / "keys", by)
    keys = tmp_path / "keys"
    done = cli("verify", str(judged.path), "--key", str(keys / "judge.pub"), "--challenger", str(keys / f"{by}.pub"))
    assert (done.returncode, said in done.stderr) == (4, True), done.stderr


def test_who_signed_after_others_challenges_himself_too(judged: Judged, tmp_path: Path, cli: Cli) -> None:
    """A countersignature is one: neither is such a challenge made, nor does one that was made before count."""
    second = generate_key(tmp_path / "keys", "second")
    put_challenge(judged, second.private, Outcome.CORROBORATED, "held", None)
    first = str(tmp_path / "keys" / "judge.pub")
    asked = ["verify", str(judged.path), "--key", first, "--challenger", str(second.public)]
    assert cli(*asked).returncode == 0
    signing = ["--key", str(second.private), "--verdict-key", first]
    assert cli("countersign", str(judged.path), *signing).returncode == 0
    done = cli(*asked)
    assert (done.returncode, "nobody challenges himself" in done.stderr) == (4, True), done.stderr
    world = ["--release", str(tmp_path / "release.yaml"), "--store", str(tmp_path / "store")]
    done = cli("rerun", str(judged.path), *world, *signing, "--challenge")
    assert (done.returncode, "nobody challenges himself" in done.stderr) == (2, True), done.stderr
