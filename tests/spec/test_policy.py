"""Policies: whatever one leaves out is decided against the verdict, and every fault has its line."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from refute.attest import generate_key, key_id
from refute.errors import SpecError
from refute.spec.policy import load_policy, parse_policy

WHOLE = """\
title: Releases of the small model
roles:
  operator:
    keys: [{name: gate machine, path: gate.pub}]
  release-owner:
    threshold: 2
    keys:
      - {name: Ann, path: ann.pub}
      - name: Bob
        pem: |
BOB
  security:
    keys: [{name: Cid, path: sub/cid.pub}]
sign_off: [release-owner]
rulings: [GO]
max_age_days: 7
require_lock: false
spec_versions: {SPEC-TINY-001: 2}
approvers: [Ann]
waiver_notice_days: 30
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a policy and the public keys that it names."""
    (tmp_path / "sub").mkdir()
    for name in ("gate", "ann", "bob", "sub/cid"):
        pair = generate_key(tmp_path / "keys", name.rpartition("/")[2])
        (tmp_path / f"{name}.pub").write_bytes(pair.public.read_bytes())
    (tmp_path / "notes.txt").write_text("no key", encoding="utf-8")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    """A policy file; BOB stands for Bob's key, inline."""
    pem = (folder / "bob.pub").read_text(encoding="ascii")
    indented = "".join(f"          {line}\n" for line in pem.splitlines())
    path = folder / "policy.yaml"
    path.write_text(text.replace("BOB\n", indented), encoding="utf-8")
    return path


def test_a_whole_policy_is_read_with_its_keys(folder: Path) -> None:
    """Keys from files beside it and from its own text, each under its name and the id of its bytes."""
    loaded = load_policy(write(folder, WHOLE))
    assert [key.name for key in loaded.keys_of("release-owner")] == ["Ann", "Bob"]
    assert [key.id for key in loaded.keys_of("release-owner")] == [
        key_id((folder / f"{name}.pub").read_bytes()) for name in ("ann", "bob")
    ]
    assert loaded.keys_of("security")[0].id == key_id((folder / "sub/cid.pub").read_bytes())
    assert loaded.keys_of("nobody") == ()
    policy = loaded.policy
    assert (policy.demanded_roles, policy.reviewing_roles) == (("release-owner",), ("release-owner", "security"))
    assert policy == parse_policy(loaded.text, "policy.yaml")


def test_what_is_left_out_is_decided_against_the_verdict() -> None:
    """Nobody is trusted, nobody may waive, a lock is demanded, a verdict ages, and every reviewer must approve."""
    policy = parse_policy("title: bare\n", "policy.yaml")
    assert (policy.roles, policy.approvers, policy.require_lock, policy.max_age_days) == ({}, (), True, 30)
    assert policy.rulings == ("GO",)
    text = WHOLE.replace("sign_off: [release-owner]\n", "").replace("pem: |\nBOB", "path: bob.pub")
    assert parse_policy(text, "policy.yaml").demanded_roles == ("release-owner", "security")
    nobody = text + "sign_off: []\n"
    assert parse_policy(nobody, "policy.yaml").demanded_roles == ()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("approvers:", "aprovers:", r":\d+: aprovers: unknown key `aprovers`; did you mean `approvers`"),
        ("threshold: 2", "threshold: 3", r":5: roles\.release-owner: a threshold of 3 cannot be met with 2 keys"),
        ("threshold: 2", "threshold: 0", r":6: roles\.release-owner\.threshold: .*greater than or equal to 1"),
        ("threshold: 2", "threshold: 1.5", r":6: roles\.release-owner\.threshold"),
        ("keys: [{name: gate machine, path: gate.pub}]", "keys: []", r":3: roles\.operator: a threshold of 1 cannot"),
        ("path: gate.pub", "path: gate.pub, pem: x", r":4: .*either `path` or `pem`"),
        (", path: gate.pub", "", r":4: .*either `path` or `pem`"),
        ("path: gate.pub", "path: lost.pub", r":4: roles\.operator\.keys\[0\]: cannot read the public key .*lost\.pub"),
        ("path: gate.pub", "path: sub", r":4: roles\.operator\.keys\[0\]: cannot read the public key"),
        ("path: gate.pub", "path: keys/gate.key", r":4: .*private key was given where a public key"),
        ("path: gate.pub", "path: notes.txt", r":4: .*expected one PEM public key"),
        ("path: ann.pub", "path: bob.pub", r":9: .*the key of 'Bob' is the key of 'Ann'"),
        ("sign_off: [release-owner]", "sign_off: [owner]", r":\d+: sign_off\[0\]: there is no role 'owner'"),
        ("sign_off: [release-owner]", "sign_off: [operator]", r"sign_off\[0\]: the operator signs verdicts"),
        ("security:", "Security:", r"roles"),
        ("rulings: [GO]", "rulings: [NO-GO]", r"rulings\[0\]: should be 'GO' or 'WARN'"),
        ("max_age_days: 7", "max_age_days: 0", r"max_age_days"),
        ("max_age_days: 7", "max_age_days: 1000000000", r"max_age_days: .*less than or equal to 36500"),
        ("max_age_days: 7", "max_waiver_days: 36501", r"max_waiver_days: .*less than or equal to 36500"),
        ("require_lock: false", "require_lock: no", r"require_lock: `no` is a boolean in YAML 1\.1"),
        ("approvers: [Ann]", 'approvers: [" "]', r"approvers\[0\]"),
        ("approvers: [Ann]", "approvers: Ann", r"approvers"),
        ("SPEC-TINY-001: 2", "SPEC-TINY-001: two", r"spec_versions\.SPEC-TINY-001"),
        ("title:", "rulings: [GO]\ntitle:", r"duplicate key `rulings`"),
    ],
)
def test_a_faulty_policy_is_refused_with_its_line(folder: Path, old: str, new: str, problem: str) -> None:
    """A key that is misspelt, unreadable, private or repeated; a demand that cannot be met; a role that is none."""
    assert old in WHOLE
    with pytest.raises(SpecError, match=problem):
        load_policy(write(folder, WHOLE.replace(old, new)))


def test_a_key_of_another_kind_is_refused(folder: Path) -> None:
    """RSA verifies nothing here, so trusting it would be a demand that nobody can meet."""
    public = rsa.generate_private_key(65537, 2048).public_key()
    (folder / "gate.pub").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(SpecError, match=r"policy\.yaml:4: .*unsupported public key \(RSAPublicKey\)"):
        load_policy(write(folder, WHOLE))


def test_the_published_schema_takes_a_policy(folder: Path) -> None:
    """An editor accepts what the code does, and refuses an unknown key as it does."""
    schema = json.loads((Path(__file__).parents[2] / "contracts/schema/policy.schema.json").read_text(encoding="utf-8"))
    policy = load_policy(write(folder, WHOLE)).policy.model_dump(mode="json", exclude_none=True)
    jsonschema.validate(policy, schema)
    with pytest.raises(jsonschema.ValidationError, match="aprovers"):
        jsonschema.validate({**policy, "aprovers": []}, schema)
