"""Policy YAML -> frozen models: whom a reader of verdicts trusts, in which role, and what else must hold.

What a policy leaves out is decided against the verdict: nobody is trusted, nobody may waive, every role beside the
operator's has to approve, a lock is demanded, and a verdict is good for 30 days.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refute.attest import key_id
from refute.attest.certificate import load_authority, load_certificate
from refute.disk import read_regular
from refute.errors import Problem, SpecError, UnreadableInputError, UsageError, VerificationError
from refute.isolation.containment import Containment
from refute.outcome import RunClass
from refute.spec.fields import Closed, Positive, ReleaseId, Sha256, UtcTime, moment
from refute.spec.yaml.document import Document, KeyPath, located, parse_yaml, read_text, validate

OPERATOR, CONSUMER = "operator", "consumer"
_ONE_PLACE = "name either `path` or `pem`, not both and not neither"
_Named = Annotated[str, Field(pattern=r"\S")]
_Days = Annotated[int, Field(ge=1, le=36_500)]
RoleName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=64)]


class KeyText(Closed):
    """A public key: PEM text, or a PEM file at a path that starts in the policy file's folder."""

    name: Annotated[_Named, Field(description="Whose key it is; for people.")]
    path: _Named | None = None
    pem: _Named | None = None
    valid_from: Annotated[UtcTime | None, Field(description="What it signed before does not count.")] = None
    valid_until: Annotated[UtcTime | None, Field(description="What it signed from then on does not count.")] = None
    revoked: Annotated[bool, Field(description="Whether nothing it ever signed counts.")] = False

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.pem is None):
            raise ValueError(_ONE_PLACE)
        try:
            ends = [moment(each, name) for name, each in self._window() if each]
        except VerificationError as error:
            raise ValueError(str(error)) from error
        if ends != sorted(ends) or len(ends) > len(set(ends)):
            raise ValueError("`valid_from` must lie before `valid_until`")
        return self

    def _window(self) -> tuple[tuple[str, str | None], ...]:
        return ("valid_from", self.valid_from), ("valid_until", self.valid_until)


class CertificateText(Closed):
    """A certificate: PEM text, or a PEM file at a path that starts in the policy file's folder."""

    path: _Named | None = None
    pem: _Named | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.pem is None):
            raise ValueError(_ONE_PLACE)
        return self


class IdentityText(Closed):
    """Somebody whom a certificate names: for one signature, after an OIDC issuer's word (Sigstore), or by an authority
    of one's own."""

    name: Annotated[_Named, Field(description="Who it is; for people.")]
    identity: Annotated[_Named, Field(description="What the certificate names: an email or a URI.")]
    issuer: Annotated[_Named | None, Field(description="The URL of the OIDC issuer.")] = None
    ca: Annotated[
        tuple[CertificateText, ...],
        Field(description="In its place: certificates, roots or below, of an authority of one's own."),
    ] = ()
    trusted_root: Annotated[
        _Named | None,
        Field(description="Sigstore trusted root, from the policy's folder; null: the public one."),
    ] = None

    @model_validator(mode="after")
    def _one_voucher(self) -> Self:
        if (self.issuer is None) == (not self.ca):
            raise ValueError("name either `issuer` or `ca`, not both and not neither")
        if self.trusted_root is not None and self.ca:
            raise ValueError("`trusted_root` is Sigstore's, and goes with `issuer`")
        return self


class Role(Closed):
    """Those who may act in a role, and how many of them must."""

    keys: tuple[KeyText, ...] = ()
    identities: Annotated[
        tuple[IdentityText, ...], Field(description="Whose Sigstore bundles count, too; of the role operator alone.")
    ] = ()
    threshold: Annotated[int, Field(ge=1, description="How many different keys must sign.")] = 1

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.threshold > (known := len(self.keys) + len(self.identities)):
            raise ValueError(f"a threshold of {self.threshold} cannot be met with {known} keys")
        return self


class Policy(Closed):
    """What a verdict must satisfy. The role `operator` signs verdicts, `consumer` uses the model, all others review.

    A policy with the role `consumer` demands as many consumers as its threshold says.
    """

    title: str = ""
    roles: dict[RoleName, Role] = Field(default={}, description="Trusted keys by role.")
    sign_off: tuple[RoleName, ...] | None = Field(
        default=None, description="Roles that must approve; left out, every role but `operator` and `consumer`."
    )
    rulings: tuple[Literal["GO", "WARN"], ...] = Field(default=("GO",), description="Verdicts that will do.")
    max_age_days: _Days | None = Field(default=30, description="Days after which a verdict is stale; null: never.")
    require_lock: bool = Field(default=True, description="Whether the run must have been pre-registered.")
    require_remeasured: bool = Field(
        default=True, description="Whether the judge must have had every falsifier measure again, apart from pytest."
    )
    contained: Containment | None = Field(
        default=None, description="How far the repository's code must have been contained, at least; null: not asked."
    )
    require_model: bool = Field(default=False, description="Whether the model must be at hand, to compare its digest.")
    timestamp_roots: tuple[CertificateText, ...] = Field(
        default=(),
        description="Certificates of RFC 3161 authorities, one of which must have seen the operator's signature.",
    )
    run_classes: tuple[RunClass, ...] | None = Field(default=None, description="Run classes that will do; null: any.")
    releases: tuple[ReleaseId, ...] | None = Field(default=None, description="Release ids that will do; null: any.")
    min_sequence: Positive | None = Field(default=None, description="The lowest number of a verdict on its release.")
    spec_versions: dict[str, Positive] = Field(
        default={}, description="Specifications that must have been judged, with the oldest version that will do."
    )
    spec_sha256: dict[str, Sha256] = Field(
        default={}, description="Specifications that must have been judged, with the digest of their text."
    )
    falsifier_sha256: dict[str, Sha256] = Field(
        default={}, description="Falsifiers that must have measured, with the digest of their code."
    )
    max_waiver_days: _Days | None = Field(
        default=None, description="The longest time from a verdict to the end of a waiver that it applied."
    )
    approvers: tuple[_Named, ...] = Field(default=(), description="Who may waive a criterion, by name; empty: nobody.")
    engine_as_installed: bool = Field(
        default=False, description="Whether refute itself must have been what its wheel brought, file by file."
    )
    engines: tuple[Sha256, ...] = Field(default=(), description="Digests of refute that will do; empty: any.")
    waiver_notice_days: Annotated[int, Field(ge=0, le=36_500, description="A waiver that ends sooner is reported.")] = (
        14
    )

    @model_validator(mode="after")
    def _roles_exist(self) -> Self:
        faults = list(self._role_faults())
        if faults:
            raise located(faults)
        return self

    def _role_faults(self) -> Iterator[tuple[KeyPath, str]]:
        for name, held in self.roles.items():
            if held.identities and name != OPERATOR:
                yield ("roles", name, "identities"), "who reviews or uses has a key of their own"
        for number, role in enumerate(self.sign_off or ()):
            if role == OPERATOR:
                yield ("sign_off", number), "the operator signs verdicts and cannot review them"
            elif role == CONSUMER:
                yield ("sign_off", number), "a consumer uses the model (refute consume) and does not review the verdict"
            elif role not in self.roles:
                yield ("sign_off", number), f"there is no role {role!r} under `roles`"

    @property
    def reviewing_roles(self) -> tuple[str, ...]:
        """Every role that may sign off, sorted."""
        return tuple(sorted(set(self.roles) - {OPERATOR, CONSUMER}))

    @property
    def demanded_roles(self) -> tuple[str, ...]:
        """The roles whose approval is demanded, sorted."""
        return self.reviewing_roles if self.sign_off is None else tuple(sorted(set(self.sign_off)))


def parse_policy(text: str, name: str) -> Policy:
    """A policy from text, such as the one inside a signed verdict; its key files are not looked for.

    Raises SpecError with every problem found.
    """
    return validate(parse_yaml(text, name), Policy)


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key with the name that the policy gives it. `id` is `attest.key_id` of `pem`."""

    name: str
    id: str
    pem: bytes
    text: KeyText

    def fault_at(self, signed_at: str) -> str:
        """Why what it signed at this moment does not count, in words that follow the key's name; empty if it does."""
        if self.text.revoked:
            return "is revoked"
        at = moment(signed_at)
        if self.text.valid_from and at < moment(self.text.valid_from):
            return f"was valid from {self.text.valid_from} on, and signed at {signed_at}"
        if self.text.valid_until and at >= moment(self.text.valid_until):
            return f"was valid until {self.text.valid_until}, and signed at {signed_at}"
        return ""


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy with its keys and certificates (PEM). `sha256` is of the file's bytes, which are `text` in UTF-8.

    `authorities` has, for each of the operator's identities, the certificates of its `ca`.
    """

    policy: Policy
    path: Path
    sha256: str
    text: str
    keys: Mapping[str, tuple[TrustedKey, ...]]
    timestamp_roots: tuple[bytes, ...] = ()
    authorities: tuple[tuple[bytes, ...], ...] = ()

    def keys_of(self, role: str) -> tuple[TrustedKey, ...]:
        """The keys of `role`; none for a role that the policy does not have."""
        return self.keys.get(role, ())


def load_policy(path: Path) -> LoadedPolicy:
    """Read a policy file, and the key files and certificates that it names.

    Raises SpecError with every problem: of the file, of a key or certificate that cannot be read or is of no accepted
    kind, of a key that stands twice in one role, where it would count once, and of one that stands in two roles, which
    are then one.
    """
    text = read_text(path)
    document = parse_yaml(text, str(path))
    policy = validate(document, Policy)
    problems: list[Problem] = []
    keys = {role: _load_keys(role, policy, path.parent, document, problems) for role in sorted(policy.roles)}
    problems += _shared_keys(keys, document)
    read = _Certificates(path.parent, document, problems)
    roots = read.load(policy.timestamp_roots, ("timestamp_roots",), load_certificate)
    identities = policy.roles[OPERATOR].identities if OPERATOR in policy.roles else ()
    authorities = tuple(
        read.load(each.ca, ("roles", OPERATOR, "identities", number, "ca"), load_authority)
        for number, each in enumerate(identities)
    )
    if problems:
        raise SpecError(problems)
    return LoadedPolicy(policy, path, hashlib.sha256(text.encode("utf-8")).hexdigest(), text, keys, roots, authorities)


@dataclass(frozen=True, slots=True)
class _Certificates:
    """Reads those that a policy in this folder names; what is wrong with one is added to `problems`."""

    folder: Path
    document: Document
    problems: list[Problem]

    def load(
        self, texts: Sequence[CertificateText], place: KeyPath, check: Callable[[bytes], object]
    ) -> tuple[bytes, ...]:
        """Their PEM, once `check` raises no UsageError."""
        found: list[bytes] = []
        for number, text in enumerate(texts):
            try:
                found.append(_pem(text, self.folder, "certificate"))
                check(found[-1])
            except (UnreadableInputError, UsageError) as error:
                self.problems.append(self.document.problem((*place, number), str(error)))
        return tuple(found)


def _shared_keys(keys: Mapping[str, tuple[TrustedKey, ...]], document: Document) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for role, held in keys.items():
        for key in held:
            if first.setdefault(key.id, role) != role:
                text = f"the key of {key.name!r} has the role {first[key.id]!r} already; a key has one role"
                yield document.problem(("roles", role, "keys"), text)


def _load_keys(
    role: str, policy: Policy, folder: Path, document: Document, problems: list[Problem]
) -> tuple[TrustedKey, ...]:
    found: dict[str, TrustedKey] = {}
    for number, text in enumerate(policy.roles[role].keys):
        place = ("roles", role, "keys", number)
        try:
            key = _load_key(text, folder)
        except (UnreadableInputError, VerificationError) as error:
            problems.append(document.problem(place, str(error)))
            continue
        if key.id in found:
            problems.append(document.problem(place, f"the key of {key.name!r} is the key of {found[key.id].name!r}"))
        found[key.id] = key
    return tuple(found.values())


def _load_key(text: KeyText, folder: Path) -> TrustedKey:
    pem = _pem(text, folder, "public key")
    return TrustedKey(text.name, key_id(pem), pem, text)


def _pem(text: KeyText | CertificateText, folder: Path, what: str) -> bytes:
    if text.pem is not None:
        return text.pem.encode("utf-8")
    path = folder / Path(text.path or "").expanduser()
    try:
        return read_regular(path)
    except (OSError, ValueError) as error:
        raise UnreadableInputError(f"cannot read the {what} {path}: {error}") from error


def operator_keys(policy: LoadedPolicy) -> list[bytes]:
    """PEM of the keys that may sign verdicts."""
    return [key.pem for key in policy.keys_of(OPERATOR)]


def trusted_keys(policy: LoadedPolicy | None, given: Sequence[bytes]) -> list[bytes]:
    """PEM of the keys to verify a verdict with: those that the caller gives, else the policy's operators.

    Raises UsageError if there are none.
    """
    found = list(given) or (operator_keys(policy) if policy else [])
    if not found:
        raise UsageError(
            "there is no key that you trust for the verdict",
            hint="name the signer's public key, or a --policy that lists keys for the role operator",
        )
    return found


def strictest_age(policy: LoadedPolicy | None, asked: timedelta | None) -> timedelta | None:
    """The smaller of the policy's maximum age and the one that the caller asks for."""
    days = None if policy is None else policy.policy.max_age_days
    limits = [limit for limit in (asked, None if days is None else timedelta(days=days)) if limit is not None]
    return min(limits, default=None)
