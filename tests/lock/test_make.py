"""`refute lock` on a real repository: what is signed, what a second lock may change, and what it refuses."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refute.attest import (
    PAYLOAD_TYPE,
    PREDICATE_TYPE,
    PrivateKey,
    build_statement,
    generate_key,
    load_private_key,
    public_pem,
    sign_envelope,
)
from refute.cli.commands.init import scaffold
from refute.disk import file_sha256
from refute.errors import EvidenceError, LooseningError, MissingInputsError, SpecError, UsageError, VerificationError
from refute.evidence.key import key_of
from refute.evidence.plan import plan_release
from refute.evidence.store import Store
from refute.falsifier.loading import load_registry
from refute.falsifier.registry import Registry
from refute.lock.facts import find_facts, foresee, record_lock
from refute.lock.file import LOCK_TYPE, lock_path, read_lock
from refute.lock.make import Locked, lock_release
from refute.lock.model import Facts
from refute.outcome import Direction
from refute.spec.files import load_release
from refute.spec.selection import select

if TYPE_CHECKING:
    from tests.conftest import Cli

SPEC, RELEASE, CODE = "specs/example.yaml", "specs/releases/example.yaml", "falsifiers/answers.py"
LOCK = "specs/releases/example.lock.intoto.json"


@dataclass(frozen=True, slots=True)
class Repo:
    """The scaffolded example and a key of its own."""

    path: Path
    private: Path

    @property
    def key(self) -> PrivateKey:
        """What signs."""
        return load_private_key(self.private)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace one part of a file; it must be there."""
        text = (self.path / name).read_text(encoding="utf-8")
        assert old in text
        (self.path / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    def lock(self, key: PrivateKey | None = None, **options: object) -> Locked:
        """`lock_release` on what lies here now."""
        release, specs = select(self.path / RELEASE, [self.path / "specs"])
        registry = load_registry([self.path / "falsifiers"])
        return lock_release(release, specs, registry, key or self.key, **options)  # type: ignore[arg-type]

    def foreseen(self) -> tuple[str, ...]:
        """What a gate that began now would say of the lock."""
        release, specs = select(self.path / RELEASE, [self.path / "specs"])
        lock = record_lock(release, specs, load_registry([self.path / "falsifiers"]), None)
        return foresee(lock, release, specs, (), self.private).reasons

    def facts(self) -> Facts:
        """What a gate that began now would find."""
        release, specs = select(self.path / RELEASE, [self.path / "specs"])
        return find_facts(release, specs, load_registry([self.path / "falsifiers"]))


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """Fresh from `refute init`."""
    scaffold(tmp_path / "repo")
    return Repo(tmp_path / "repo", generate_key(tmp_path / "keys", "owner").private)


def test_the_first_lock_names_everything_by_digest(repo: Repo) -> None:
    """Spec, release, falsifier code, controls, data and time; it lies beside the release and verifies."""
    locked = repo.lock()
    assert (locked.path, locked.written, locked.changes) == (repo.path / LOCK, True, ())
    lock = read_lock(locked.path.read_bytes(), [public_pem(repo.key)]).lock
    promise = lock.promise
    assert (lock.sequence, lock.predecessor, lock.known_before) == (1, None, ())
    assert promise.release.sha256 == file_sha256(repo.path / RELEASE)
    assert [each.sha256 for each in promise.specs] == [file_sha256(repo.path / SPEC)]
    assert promise.specs[0].content.criteria[0].falsifiers[0].thresholds["accuracy"].holds_if == ">= 80 %"
    assert promise.facts.inputs == {"evidence.answers": file_sha256(repo.path / "evidence/answers.jsonl")}
    falsifier = promise.facts.falsifiers["answer-accuracy"]
    assert falsifier.file == file_sha256(repo.path / CODE)
    assert falsifier.controls == {
        "all right": "corroborated",
        "mostly wrong": "falsified",
        "barely right": "inconclusive",
    }
    assert set(promise.facts.falsifiers) == {"answer-accuracy", "answers-complete"}


def test_a_second_lock_of_the_same_is_not_written(repo: Repo) -> None:
    """Nothing changed, so the first one still holds, to the byte."""
    repo.lock()
    before = (repo.path / LOCK).read_bytes()
    assert repo.lock().written is False
    assert (repo.path / LOCK).read_bytes() == before


def test_a_tighter_bar_is_accepted_and_the_chain_goes_on(repo: Repo) -> None:
    """The new lock counts up and cites the old one by its payload digest."""
    first = repo.lock()
    repo.edit(SPEC, 'holds_if: ">= 80 %"', 'holds_if: ">= 90 %"')
    second = repo.lock()
    assert (second.signed.lock.sequence, second.signed.lock.predecessor) == (2, first.signed.payload_sha256)
    assert (second.changes[0].old, second.changes[0].new) == (">= 80 %", ">= 90 %")
    assert second.changes[0].direction is Direction.TIGHTER


def test_a_looser_bar_is_refused_under_the_old_version(repo: Repo) -> None:
    """From 80 % to 70 %: refused with both values, and the lock that is there stays; version 2 may say it."""
    repo.lock()
    before = (repo.path / LOCK).read_bytes()
    repo.edit(SPEC, 'holds_if: ">= 80 %"', 'holds_if: ">= 70 %"')
    with pytest.raises(LooseningError, match="1 demand would be looser") as caught:
        repo.lock()
    assert [(change.old, change.new) for change in caught.value.changes] == [(">= 80 %", ">= 70 %")]
    assert (repo.path / LOCK).read_bytes() == before
    repo.edit(SPEC, "version: 1", "version: 2")
    assert repo.lock().signed.lock.sequence == 2


def test_what_was_once_demanded_is_not_forgotten(repo: Repo) -> None:
    """A bar lowered under a new version, and an id retired: both stand in that lock and in every later one."""
    repo.lock()
    repo.edit(SPEC, 'holds_if: ">= 80 %"', 'holds_if: ">= 70 %"')
    repo.edit(SPEC, "version: 1", "version: 2")
    assert [str(change) for change in repo.lock().signed.lock.relaxed] == [
        "AC-EXAMPLE-001 F-EXAMPLE-001 accuracy: >= 80 % -> >= 70 % (looser)"
    ]
    text = (repo.path / SPEC).read_text(encoding="utf-8")
    gone = text[: text.index("  - id: AC-EXAMPLE-002")] + "retired: [{id: AC-EXAMPLE-002, reason: Moved.}]\n"
    (repo.path / SPEC).write_text(gone, encoding="utf-8")
    relaxed = repo.lock().signed.lock.relaxed
    assert [(change.old, change.new) for change in relaxed] == [(">= 80 %", ">= 70 %"), ("block criterion", "retired")]


def test_a_lock_of_a_stranger_is_not_continued(repo: Repo, tmp_path: Path) -> None:
    """Whoever signed the lock that is there must be trusted, or its promises could be made up; nothing is written."""
    repo.lock(load_private_key(generate_key(tmp_path / "keys", "other").private))
    before = (repo.path / LOCK).read_bytes()
    with pytest.raises(VerificationError, match="cannot be continued: signed by none"):
        repo.lock()
    assert (repo.path / LOCK).read_bytes() == before
    other = (tmp_path / "keys/other.pub").read_bytes()
    assert repo.lock(trusted_keys=[other]).signed.lock.sequence == 2


def test_a_damaged_lock_is_not_taken_for_none(repo: Repo) -> None:
    """An empty file, or a link to nowhere, is not the beginning of a new chain."""
    (repo.path / LOCK).write_bytes(b"")
    with pytest.raises(VerificationError, match="cannot be continued"):
        repo.lock()
    (repo.path / LOCK).unlink()
    (repo.path / LOCK).symlink_to("nowhere")
    with pytest.raises(MissingInputsError, match="cannot read"):
        repo.lock()


@pytest.mark.slow
def test_the_lock_of_another_release_is_not_replaced(repo: Repo) -> None:
    """A release that was renamed begins its own chain in its own file."""
    repo.lock()
    repo.edit(RELEASE, "release: example", "release: other")
    with pytest.raises(UsageError, match="is the lock of release 'example', not of 'other'"):
        repo.lock()
    assert repo.lock(out=repo.path / "other.json").signed.lock.sequence == 1


def test_nothing_is_locked_that_could_not_be_run(repo: Repo) -> None:
    """Data that is not there, and a spec that does not fit its falsifiers, are refused by name."""
    (repo.path / "evidence/answers.jsonl").unlink()
    with pytest.raises(MissingInputsError, match=r"answers\.jsonl"):
        repo.lock()
    repo.edit(SPEC, "uses: answer-accuracy", "uses: answer-acuracy")
    with pytest.raises(SpecError, match="answer-acuracy"):
        repo.lock()
    assert not (repo.path / LOCK).exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda repo: repo.edit(RELEASE, "run_class: quick", "run_class: full"), "release run_class: quick -> full"),
        (lambda repo: (repo.path / "falsifiers/_help.py").write_text("", encoding="utf-8"), "files beside its code"),
        (lambda repo: repo.edit(CODE, "100 * right", "100.0 * right"), "falsifier answer-accuracy code"),
        (lambda repo: repo.edit(SPEC, "version: 1", "version: 2"), "SPEC-EXAMPLE-001 version: 1 -> 2"),
        (lambda repo: repo.edit(SPEC, "# What", "# what"), "SPEC-EXAMPLE-001 text"),
        (lambda repo: repo.edit("evidence/answers.jsonl", "1", "2"), "input evidence.answers"),
    ],
)
def test_a_gate_that_begins_after_a_change_foresees_its_end(
    repo: Repo, change: Callable[[Repo], object], place: str
) -> None:
    """Nothing to say while all is as locked; after any change, also a looked-over one, the place is named."""
    repo.lock()
    assert repo.foreseen() == ()
    change(repo)
    assert any(place in reason for reason in repo.foreseen())


@pytest.mark.slow
def test_a_folder_of_evidence_is_bound_by_names_and_contents(repo: Repo) -> None:
    """A renamed file in a folder is another input."""
    repo.edit(RELEASE, "../../evidence/answers.jsonl", "../../evidence")
    before = repo.facts().inputs
    (repo.path / "evidence/answers.jsonl").rename(repo.path / "evidence/renamed.jsonl")
    assert repo.facts().inputs != before


def test_caches_beside_falsifiers_do_not_count(repo: Repo) -> None:
    """Python's own cache and hidden files come and go."""
    before = repo.facts()
    (repo.path / "falsifiers/__pycache__").mkdir(exist_ok=True)
    (repo.path / "falsifiers/__pycache__/answers.pyc").write_bytes(b"x")
    (repo.path / "falsifiers/.hidden").write_bytes(b"x")
    assert repo.facts() == before


def test_a_linked_folder_beside_falsifiers_is_refused(repo: Repo) -> None:
    """Helpers behind a link could change without a trace; a linked file counts as the file that it is."""
    outside = repo.path / "lib"
    outside.mkdir()
    (outside / "helper.py").write_text("FACTOR = 1\n", encoding="utf-8")
    (repo.path / "falsifiers/_helper.py").symlink_to(outside / "helper.py")
    before = repo.facts()
    (outside / "helper.py").write_text("FACTOR = 2\n", encoding="utf-8")
    assert repo.facts() != before
    (repo.path / "falsifiers/lib").symlink_to(outside)
    with pytest.raises(EvidenceError, match="is a link to a folder") as caught:
        repo.lock()
    assert "copy" in caught.value.hint


def test_an_installed_pack_is_bound_as_a_whole(repo: Repo) -> None:
    """A built-in falsifier's digest covers every file of its package, so it differs from that of its own file."""
    release, _ = select(repo.path / RELEASE, [repo.path / "specs"])
    (repo.path / SPEC).write_text(
        "spec: SPEC-B-001\nversion: 1\ntitle: B\ncriteria:\n  - {id: AC-B-001, title: t, statement: s, severity: info,"
        " phase: 1, falsifiers: [{id: F-B-001, uses: teacher-parity,"
        ' thresholds: {max_abs_difference: {holds_if: "<= 1e-3 logit"}}}]}\n',
        encoding="utf-8",
    )
    _, specs = select(repo.path / RELEASE, [repo.path / "specs"])
    found = find_facts(release, specs, load_registry([])).falsifiers["teacher-parity"]
    assert found.file != found.folder
    assert len(found.controls) >= 2


PACK = """\
from refute import Measurement, falsifier, known_bad, known_good

def good(bench):
    \"\"\"Good.\"\"\"

def bad(bench):
    \"\"\"Bad.\"\"\"

@falsifier("packed", needs=("answers",), measures={"x": "y"}, controls=(known_good(good), known_bad(bad)))
def packed(context):
    \"\"\"Refuted by x.\"\"\"
    yield Measurement("x", 1, "y", n=1)
"""


def test_a_falsifier_deep_in_a_package_is_bound_to_all_of_it(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file at the top of the package may be what a falsifier two folders below it calls."""
    deep = tmp_path / "lib/refute_test_pack/inner"
    deep.mkdir(parents=True)
    for folder in (deep, deep.parent):
        (folder / "__init__.py").write_text("", encoding="utf-8")
    (deep / "checks.py").write_text(PACK, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    registry = Registry()
    registry.add_from(vars(importlib.import_module("refute_test_pack.inner.checks")))
    repo.edit(SPEC, "uses: answer-accuracy", "uses: packed")
    repo.edit(SPEC, "uses: answers-complete", "uses: packed")
    release, specs = select(repo.path / RELEASE, [repo.path / "specs"])
    before = find_facts(release, specs, registry).falsifiers["packed"]
    (deep.parent / "helpers.py").write_text("LIMIT = 1\n", encoding="utf-8")
    after = find_facts(release, specs, registry).falsifiers["packed"]
    assert (before.file == after.file, before.folder == after.folder) == (True, False)


def test_what_was_measured_before_the_lock_is_named_in_it(repo: Repo, tmp_path: Path) -> None:
    """Evidence of an experiment that lies in the store already may have been seen, and the lock says so."""
    release = tmp_path / "own.yaml"
    source = Path(__file__).parents[2] / "specs/releases/quick.yaml"
    text, _, _ = source.read_text(encoding="utf-8").partition("# To a hub")
    release.write_text(text.replace("../distill-001.yaml", SPEC), encoding="utf-8")
    loaded = load_release(release)
    plan = plan_release(loaded.release, tmp_path)
    store = Store(tmp_path / "store")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/result.json").write_text("{}", encoding="utf-8")
    store.add("kd_math", key_of(plan["kd_math"], {}), tmp_path / "out")
    _, specs = select(repo.path / RELEASE, [repo.path / SPEC])
    registry = load_registry([repo.path / "falsifiers"])
    locked = lock_release(loaded, specs, registry, repo.key, store=store.root)
    assert locked.path == lock_path(release)
    assert locked.signed.lock.known_before == ("kd_math",)
    inputs = locked.signed.lock.promise.facts.inputs
    assert set(inputs) == {"distillation.teacher", "distillation.corpus", "distillation.humaneval.problems"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("subject", "predicate_type", "message"),
    [
        ("example", LOCK_TYPE, ""),
        ("other", LOCK_TYPE, "subject is not the release that it locks"),
        ("example", PREDICATE_TYPE, "predicateType is"),
    ],
)
def test_a_statement_about_something_else_is_no_lock(
    repo: Repo, subject: str, predicate_type: str, message: str
) -> None:
    """The subject is the release that is locked, and a verdict, though signed by the same key, is no lock."""
    lock = repo.lock().signed.lock
    content = json.loads(lock.model_dump_json(by_alias=True))
    payload = build_statement(subject, lock.promise.release.sha256, content, predicate_type=predicate_type)
    envelope = sign_envelope(payload, PAYLOAD_TYPE, [repo.key])
    if message:
        with pytest.raises(VerificationError, match=message):
            read_lock(envelope, [public_pem(repo.key)])
    else:
        assert read_lock(envelope, [public_pem(repo.key)]).lock == lock


@pytest.mark.slow
def test_the_command_prints_a_table_and_ends_in_1_when_it_refuses(
    repo: Repo, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`refute lock` three times: locked; tighter, and shown; looser, and refused in words and as JSON."""
    monkeypatch.chdir(repo.path)
    assert cli("lock").returncode == 0
    repo.edit(SPEC, 'holds_if: ">= 80 %"', 'holds_if: ">= 90 %"')
    ended = cli("lock", "--json")
    shown = json.loads(ended.stdout)
    assert (shown["written"], shown["sequence"], shown["changes"][0]["direction"]) == (True, 2, "tighter")
    repo.edit(SPEC, 'holds_if: ">= 90 %"', 'holds_if: ">= 70 %"')
    ended = cli("lock")
    assert ended.returncode == 1
    assert "looser  AC-EXAMPLE-001 F-EXAMPLE-001 accuracy  >= 90 % -> >= 70 %" in ended.stdout
    assert "raise the `version` of SPEC-EXAMPLE-001" in ended.stderr
    refused = json.loads(cli("lock", "--json").stdout)
    assert (refused["written"], [each["new"] for each in refused["refused"]]) == (False, [">= 70 %"])
