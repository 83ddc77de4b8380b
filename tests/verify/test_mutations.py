"""A forger with a trusted key changes one thing in an honest verdict: it is refused, or nobody else could know it.

Signing is no obstacle here: every mutant is signed by the key that the verifier trusts, so what refuses it is the
verdict contradicting itself. ATTESTED is the complete list of what the signature alone vouches for (docs/verdict.md).
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refute.attest import (
    PAYLOAD_TYPE,
    PrivateKey,
    build_statement,
    hash_model,
    load_private_key,
    public_pem,
    sign_envelope,
)
from refute.errors import SpecError, StaleVerdictError, VerificationError
from refute.judge.predicate.model import Predicate
from refute.judge.run.folder import RunFolder
from refute.judge.sign import Judged
from refute.judge.subject import model_facts
from refute.spec.files import parse_release
from refute.verify.verification import verify_verdict
from tiny_run import MODEL_RELEASE, JudgedOnce

pytestmark = pytest.mark.slow

MakeRun = Callable[..., RunFolder]
Path_ = tuple[str | int, ...]
# Facts of the machine, names of files, what evidence was made of; how a measurement was made, as far as its outcome and
# its reason do not say; which files of its evidence it read. Nobody but the signer saw them.
ATTESTED = re.compile(
    r"(run\.(argv|python|platform|cpus|started_at|pytest_environment|plugins|versions|evidence_needs|hooks)(\..*)?"
    r"|run\.falsifiers\.[^.]+\.contracts(\..*)?"
    r"|records\.\d+(\.controls\.\d+)?\.measurements\.\d+(\.n|\.interval\.(level|method)|\.evidence)"
    r"|records\.\d+\.controls\.\d+\.measurements\.\d+\.evidence(\.\d+)?"
    r"|(release|specs\.\d+)\.name|signer\.development|verifier|verifier_version|remeasured|engine(\..*)?)"
)


@pytest.fixture(scope="module")
def about_a_model(tmp_path_factory: pytest.TempPathFactory) -> JudgedOnce:
    """An honest GO about a model folder."""
    root = tmp_path_factory.mktemp("about-a-model")
    for name in ("config.json", "sub/weights.bin"):
        path = root / "mine" / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return JudgedOnce.make(root, release=MODEL_RELEASE, also=("student",))


@pytest.fixture
def judged(about_a_model: JudgedOnce, tmp_path: Path) -> Judged:
    """A copy of that GO."""
    return about_a_model.copy(tmp_path)


@pytest.fixture
def key(judged: Judged, tmp_path: Path) -> PrivateKey:
    """The key that signed it."""
    return load_private_key(tmp_path / "keys" / "judge.key")


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The path of every object, list and plain value."""
    yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        yield from places(member, (*path, name))


def at(value: Any, path: Path_) -> Any:
    """What stands at a path."""
    for step in path:
        value = value[step]
    return value


def mutants(value: Any) -> list[Any]:
    """Other values for this place, of its own type and of others."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, -value - 1]
    if isinstance(value, str):
        if re.fullmatch(r"[0-9a-f]{64}", value):
            return ["0" * 64]
        if re.fullmatch(r"\d{4}-.*Z", value):
            return ["2025-01-02T00:00:00Z", "2036-01-02T00:00:00Z"]
        return [f"{value}x", "WARN" if value != "WARN" else "GO"]
    if isinstance(value, list):
        return [value[:-1], value + value[:1], value[::-1]] if value else [["x"]]
    if isinstance(value, dict):
        return [{**value, "extra": 1}, {}]
    return ["0" * 64, 1]


def forge(judged: Judged, key: PrivateKey, content: Any) -> bytes:
    """The changed content about the subject that it names, signed."""
    honest = judged.predicate.subject
    subject = content.get("subject")
    stated = subject if isinstance(subject, dict) else {}
    name, sha256 = str(stated.get("name", honest.name)), str(stated.get("sha256", honest.sha256))
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        sha256 = honest.sha256
    return sign_envelope(build_statement(name, sha256, content), PAYLOAD_TYPE, [key])


def accepted(judged: Judged, key: PrivateKey, content: Any) -> bool:
    """Whether the forgery verifies and says anything else than the honest verdict; only one error may come out."""
    try:
        found = verify_verdict(forge(judged, key, content), [public_pem(key)]).predicate
    except VerificationError:
        return False
    return in_order(found) != in_order(judged.predicate)


def in_order(predicate: Predicate) -> Predicate:
    """With the records sorted: their order says nothing."""
    records = sorted(predicate.records, key=lambda record: (record.spec, record.criterion, record.falsifier))
    return predicate.model_copy(update={"records": tuple(records)})


def replaced(content: Any, path: Path_, value: Any) -> Any:
    """A copy with one place changed."""
    changed = copy.deepcopy(content)
    at(changed, path[:-1])[path[-1]] = value
    return changed


def without(content: Any, path: Path_) -> Any:
    """A copy with one place gone."""
    changed = copy.deepcopy(content)
    del at(changed, path[:-1])[path[-1]]
    return changed


def test_no_single_change_is_accepted(judged: Judged, key: PrivateKey) -> None:
    """Every place of the predicate: verdict, reasons, counts, outcomes, numbers, texts, controls, evidence, subject."""
    content = json.loads(judged.predicate.model_dump_json())
    tried, slipped = 0, []
    for path in places(content):
        name = ".".join(map(str, path))
        if path and not ATTESTED.fullmatch(name):
            for changed in [without(content, path), *(replaced(content, path, v) for v in mutants(at(content, path)))]:
                tried += 1
                if accepted(judged, key, changed):
                    slipped.append(name)
    assert slipped == []
    assert tried > 500


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("exhibits", "curves"), [{"chart": "loss", "name": "kd", "unit": "nat", "steps": [1], "values": [0.1]}]),
        (("exhibits", "sections"), [{"number": 1, "title": "HumanEval", "state": "measured", "text": "100 %"}]),
        (("inputs", "training"), {"student": {"teacher_sha256": "0" * 64, "seed": 1}}),
    ],
)
def test_nothing_is_shown_of_a_distillation_that_was_not_made(
    judged: Judged, key: PrivateKey, path: Path_, value: Any
) -> None:
    """A well-formed curve, section or input under a release of files alone: refused without any store at hand."""
    content = replaced(json.loads(judged.predicate.model_dump_json()), path, value)
    with pytest.raises(VerificationError, match="names no distillation"):
        verify_verdict(forge(judged, key, content), [public_pem(key)])


def test_what_is_attested_is_not_checked_by_anything_else(judged: Judged, key: PrivateKey) -> None:
    """The list is honest in the other direction, too: such a change does verify, and so is said to prove nothing."""
    content = json.loads(judged.predicate.model_dump_json())
    for path, value in {
        ("run", "cpus"): 512,
        ("run", "argv"): ["--other"],
        ("records", 0, "measurements", 0, "n"): 10**6,
        ("signer", "development"): True,
    }.items():
        assert ATTESTED.fullmatch(".".join(map(str, path)))
        assert accepted(judged, key, replaced(content, path, value))


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e300, 1e300) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
SEEDED = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@SEEDED
@given(data=st.data())
def test_no_random_value_is_accepted_anywhere(judged: Judged, key: PrivateKey, data: st.DataObject) -> None:
    """Whatever JSON stands at whatever place, it is refused as not verifiable and in no other way."""
    content = json.loads(judged.predicate.model_dump_json())
    path = data.draw(st.sampled_from([path for path in places(content) if path]))
    if not ATTESTED.fullmatch(".".join(map(str, path))):
        assert not accepted(judged, key, replaced(content, path, data.draw(JSON)))


@SEEDED
@given(data=st.data())
def test_a_changed_text_gives_its_own_verdict_or_none(judged: Judged, key: PrivateKey, data: st.DataObject) -> None:
    """A spec or release cut, or with one character changed, and hashed anew: the same criteria, bars and outcomes."""
    content = json.loads(judged.predicate.model_dump_json())
    holder = data.draw(st.sampled_from([content["release"], content["specs"][0]]))
    text = holder["text"]
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from(["", "0", "9", "<", "\n", " ", "#", ":", "é", "x"]))
    holder["text"] = text[:place] + letter + text[place + data.draw(st.sampled_from([1, 3, len(text)])) :]
    holder["sha256"] = hashlib.sha256(holder["text"].encode()).hexdigest()
    try:
        verified = verify_verdict(forge(judged, key, content), [public_pem(key)])
    except VerificationError:
        return
    assert verified.predicate.verdict == judged.predicate.verdict


def test_a_verdict_does_not_move_to_another_model(judged: Judged, key: PrivateKey, tmp_path: Path) -> None:
    """Subject, files and both digests of another folder, all in agreement: the evidence still names the judged one."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}", encoding="utf-8")
    manifest = hash_model(other)
    content = json.loads(judged.predicate.model_dump_json())
    content["subject"] |= {"sha256": manifest.root_digest, "manifest_sha256": manifest.manifest_digest}
    content["model"] = json.loads(model_facts(manifest).model_dump_json())
    with pytest.raises(VerificationError, match="not those of the evidence 'student'"):
        verify_verdict(forge(judged, key, content), [public_pem(key)])


def test_every_byte_class_of_the_envelope(judged: Judged, key: PrivateKey) -> None:
    """A flipped bit or another byte anywhere in the file: refused, or still exactly what was signed."""
    data = judged.path.read_bytes()
    edges = [*range(40), *range(len(data) - 260, len(data))]
    for place in sorted({*edges, *range(0, len(data), len(data) // 60)}):
        for byte in (data[place] ^ 1, data[place] ^ 0x80, ord("A")):
            changed = data[:place] + bytes([byte]) + data[place + 1 :]
            try:
                verified = verify_verdict(changed, [public_pem(key)])
            except VerificationError:
                continue
            assert verified.payload_sha256 == judged.payload_sha256


def nothing_but_a_mode(folder: Path) -> None:
    (folder / "config.json").chmod(0o600)


def one_bit(folder: Path) -> None:
    path = folder / "sub" / "weights.bin"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def a_file_less(folder: Path) -> None:
    (folder / "config.json").unlink()


def a_file_more(folder: Path) -> None:
    (folder / "sub" / "modeling.py").write_text("import os\n", encoding="utf-8")


def an_empty_file_more(folder: Path) -> None:
    (folder / "added_tokens.json").touch()


def another_name(folder: Path) -> None:
    (folder / "config.json").rename(folder / "configs.json")


def another_folder(folder: Path) -> None:
    (folder / "sub").rename(folder / "subs")


def swapped(folder: Path) -> None:
    (folder / "config.json").rename(folder / "other")
    (folder / "sub" / "weights.bin").rename(folder / "config.json")
    (folder / "other").rename(folder / "sub" / "weights.bin")


def a_link(folder: Path) -> None:
    (folder / "config.json").rename(folder.parent / "elsewhere")
    (folder / "config.json").symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (nothing_but_a_mode, None),
        (one_bit, "sub/weights.bin changed"),
        (a_file_less, "config.json is missing"),
        (a_file_more, "sub/modeling.py is new"),
        (an_empty_file_more, "added_tokens.json is new"),
        (another_name, "file names of .*config.json is missing, configs.json is new"),
        (another_folder, "file names of .*subs/weights.bin is new"),
        (swapped, "config.json changed, sub/weights.bin changed"),
        (a_link, "config.json is a symbolic link"),
    ],
)
def test_every_change_of_the_model_is_named(
    judged: Judged, key: PrivateKey, change: Callable[[Path], None], error: str | None, tmp_path: Path
) -> None:
    """A bit, a file, a name, a link: the reader learns which file is another."""
    folder = tmp_path / "mine" / "model"
    for path in folder.rglob("*"):
        if path.is_file():  # the store holds hard links to these files
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data)
    change(folder)
    if error is None:
        verify_verdict(judged.path.read_bytes(), [public_pem(key)], model=folder)
    else:
        kind = VerificationError if "link" in error else StaleVerdictError
        with pytest.raises(kind, match=error):
            verify_verdict(judged.path.read_bytes(), [public_pem(key)], model=folder)


def test_what_was_added_since_is_excused_by_name_alone(judged: Judged, key: PrivateKey, tmp_path: Path) -> None:
    """A README at publication, if the reader says so; a file that was judged never, and statements beside it always."""
    folder, keys = tmp_path / "mine" / "model", [public_pem(key)]
    (folder / "README.md").write_text("card", encoding="utf-8")
    (folder / "verdict.sigstore.json").write_text("{}", encoding="utf-8")
    envelope = judged.path.read_bytes()
    checks = verify_verdict(envelope, keys, model=folder, ignored=("README.md",)).checks
    assert "added since, and ignored as you asked: README.md" in checks
    with pytest.raises(StaleVerdictError, match=r"README\.md is new\)"):
        verify_verdict(envelope, keys, model=folder)
    (folder / "config.json").unlink()
    (folder / "config.json").write_text("another", encoding="utf-8")
    with pytest.raises(StaleVerdictError, match=r"config\.json changed\)"):
        verify_verdict(envelope, keys, model=folder, ignored=("README.md", "config.json"))


def test_what_the_release_lets_be_added_is_excused_for_everybody(tmp_path: Path) -> None:
    """It is signed with the verdict; pages alone can be named, for nothing that loads a model reads them."""
    folder = tmp_path / "mine" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "weights.bin").write_text("1", encoding="utf-8")
    release = MODEL_RELEASE + "may_be_added: [README.md, LICENSE]\n"
    made = JudgedOnce.make(tmp_path, release=release, also=("student",)).judged
    for name in ("README.md", "LICENSE"):
        (folder / name).write_text("page", encoding="utf-8")
    keys = [made.files.key.read_bytes()]
    checks = verify_verdict(made.path.read_bytes(), keys, model=folder).checks
    assert {"added since, as the release allows: LICENSE", "added since, as the release allows: README.md"} <= set(
        checks
    )
    (folder / "modeling.py").write_text("code", encoding="utf-8")
    with pytest.raises(StaleVerdictError, match=r"modeling\.py is new\)"):
        verify_verdict(made.path.read_bytes(), keys, model=folder)
    for name in ("modeling.py", "generation_config.json", "sub/README.md", "../README.md", ".md"):
        with pytest.raises(SpecError, match="may_be_added"):
            parse_release(f"{MODEL_RELEASE}may_be_added: ['{name}']\n", "release.yaml")


def test_what_was_published_is_what_was_judged(tmp_path: Path) -> None:
    """What the gate has staged beside the model, the verdict knows to the byte; a page that was changed is no such."""
    folder, staged = tmp_path / "mine" / "model", tmp_path / "staging" / "release"
    for place in (folder, staged):
        place.mkdir(parents=True)
        (place / "config.json").write_text("{}", encoding="utf-8")
        (place / "weights.bin").write_text("1", encoding="utf-8")
    (staged / "README.md").write_text("page", encoding="utf-8")
    release = MODEL_RELEASE.replace("student: mine", "student: mine, staged: staging")
    made = JudgedOnce.make(tmp_path, release=release, also=("student", "staged")).judged
    keys = [made.files.key.read_bytes()]
    (staged / "verdict.sigstore.json").write_text("{}", encoding="utf-8")
    checks = verify_verdict(made.path.read_bytes(), keys, model=staged).checks
    assert "staged by the gate that judged it, to the byte: README.md" in checks
    (staged / "README.md").write_text("another page", encoding="utf-8")
    with pytest.raises(StaleVerdictError, match=r"README\.md is new\)"):
        verify_verdict(made.path.read_bytes(), keys, model=staged)


def test_every_evidence_file_is_hashed_again(judged: Judged, key: PrivateKey, tmp_path: Path) -> None:
    """One bit in any of them, and its name is in the refusal."""
    for name, files in judged.predicate.evidence.items():
        for file, digest in files.items():
            path = tmp_path / "store" / "objects" / digest[:2] / digest
            data = path.read_bytes()
            path.chmod(0o644)
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
            with pytest.raises(VerificationError, match=re.escape(f"evidence {name}/{file} should")) as caught:
                verify_verdict(judged.path.read_bytes(), [public_pem(key)], store=tmp_path / "store")
            assert caught.value.cause == "evidence"
            path.write_bytes(data)
