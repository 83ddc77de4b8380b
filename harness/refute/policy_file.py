"""Policy files: read one, keep its text and digest, and load the public keys that it names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from refute.attest import key_id
from refute.errors import MissingInputsError, Problem, SpecError, VerificationError
from refute.policy import KeyText, Policy
from refute.strict_yaml import Document, parse_yaml, read_text, validate


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key with the name that the policy gives it. `id` is `attest.key_id` of `pem`."""

    name: str
    id: str
    pem: bytes


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy with its keys. `sha256` is of the file's bytes, which are `text` in UTF-8."""

    policy: Policy
    path: Path
    sha256: str
    text: str
    keys: Mapping[str, tuple[TrustedKey, ...]]

    def keys_of(self, role: str) -> tuple[TrustedKey, ...]:
        """The keys of `role`; none for a role that the policy does not have."""
        return self.keys.get(role, ())


def load_policy(path: Path) -> LoadedPolicy:
    """Read a policy file and the key files that it names.

    Raises SpecError with every problem: of the file, of a key that cannot be read or is of no accepted kind, and of a
    key that stands twice in one role, where it would count once.
    """
    text = read_text(path)
    document = parse_yaml(text, str(path))
    policy = validate(document, Policy)
    problems: list[Problem] = []
    keys = {role: _load_keys(role, policy, path.parent, document, problems) for role in sorted(policy.roles)}
    if problems:
        raise SpecError(problems)
    return LoadedPolicy(policy, path, hashlib.sha256(text.encode("utf-8")).hexdigest(), text, keys)


def _load_keys(
    role: str, policy: Policy, folder: Path, document: Document, problems: list[Problem]
) -> tuple[TrustedKey, ...]:
    found: dict[str, TrustedKey] = {}
    for number, text in enumerate(policy.roles[role].keys):
        place = ("roles", role, "keys", number)
        try:
            key = _load_key(text, folder)
        except (MissingInputsError, VerificationError) as error:
            problems.append(document.problem(place, str(error)))
            continue
        if key.id in found:
            problems.append(document.problem(place, f"the key of {key.name!r} is the key of {found[key.id].name!r}"))
        found[key.id] = key
    return tuple(found.values())


def _load_key(text: KeyText, folder: Path) -> TrustedKey:
    if text.pem is not None:
        pem = text.pem.encode("utf-8")
    else:
        path = folder / Path(text.path or "").expanduser()
        try:
            pem = path.read_bytes()
        except (OSError, ValueError) as error:
            raise MissingInputsError(f"cannot read the public key {path}: {error}") from error
    return TrustedKey(text.name, key_id(pem), pem)
