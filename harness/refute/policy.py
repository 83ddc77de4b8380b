"""Policy YAML -> frozen models: whom a reader of verdicts trusts, in which role, and what else must hold.

What a policy leaves out is decided against the verdict: nobody is trusted, nobody may waive, every role beside the
operator's has to approve, a lock is demanded, and a verdict is good for 30 days.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refute.release import Closed, Positive
from refute.strict_yaml import KeyPath, located, parse_yaml, validate

OPERATOR = "operator"
_Named = Annotated[str, Field(pattern=r"\S")]
RoleName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=64)]


class KeyText(Closed):
    """A public key: PEM text, or a PEM file at a path that starts in the policy file's folder."""

    name: Annotated[_Named, Field(description="Whose key it is; for people.")]
    path: _Named | None = None
    pem: _Named | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.pem is None):
            raise ValueError("name either `path` or `pem`, not both and not neither")
        return self


class Role(Closed):
    """Those who may act in a role, and how many of them must."""

    keys: tuple[KeyText, ...] = ()
    threshold: Annotated[int, Field(ge=1, description="How many different keys must sign.")] = 1

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.threshold > len(self.keys):
            raise ValueError(f"a threshold of {self.threshold} cannot be met with {len(self.keys)} keys")
        return self


class Policy(Closed):
    """What a verdict must satisfy. The role `operator` signs verdicts; all others review them."""

    title: str = ""
    roles: dict[RoleName, Role] = Field(default={}, description="Trusted keys by role.")
    sign_off: tuple[RoleName, ...] | None = Field(
        default=None, description="Roles that must approve; left out, every role but `operator`."
    )
    rulings: tuple[Literal["GO", "WARN"], ...] = Field(default=("GO", "WARN"), description="Verdicts that will do.")
    max_age_days: Positive | None = Field(default=30, description="Days after which a verdict is stale; null: never.")
    require_lock: bool = Field(default=True, description="Whether the run must have been pre-registered.")
    spec_versions: dict[str, Positive] = Field(
        default={}, description="Specifications that must have been judged, with the oldest version that will do."
    )
    approvers: tuple[_Named, ...] = Field(default=(), description="Who may waive a criterion, by name; empty: nobody.")
    waiver_notice_days: Annotated[int, Field(ge=0, description="A waiver that ends sooner is reported.")] = 14

    @model_validator(mode="after")
    def _roles_exist(self) -> Self:
        faults = list(self._role_faults())
        if faults:
            raise located(faults)
        return self

    def _role_faults(self) -> Iterator[tuple[KeyPath, str]]:
        for number, role in enumerate(self.sign_off or ()):
            if role == OPERATOR:
                yield ("sign_off", number), "the operator signs verdicts and cannot review them"
            elif role not in self.roles:
                yield ("sign_off", number), f"there is no role {role!r} under `roles`"

    @property
    def reviewing_roles(self) -> tuple[str, ...]:
        """Every role that may sign off, sorted."""
        return tuple(sorted(set(self.roles) - {OPERATOR}))

    @property
    def demanded_roles(self) -> tuple[str, ...]:
        """The roles whose approval is demanded, sorted."""
        return self.reviewing_roles if self.sign_off is None else tuple(sorted(set(self.sign_off)))


def parse_policy(text: str, name: str) -> Policy:
    """A policy from text, such as the one inside a signed verdict; its key files are not looked for.

    Raises SpecError with every problem found.
    """
    return validate(parse_yaml(text, name), Policy)
