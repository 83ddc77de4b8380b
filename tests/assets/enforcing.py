"""A signed verdict, keys of everybody, and a policy to hold the one against by the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refute.attest import PAYLOAD_TYPE, PrivateKey, build_statement, public_pem, sign_envelope
from refute.judge.sign import Judged
from refute.spec.fields import utc_now
from refute.spec.policy import LoadedPolicy, load_policy
from refute.verify.policy_check import enforce
from refute.verify.sign_off.statement import SIGN_OFF_TYPE, Decision, sign_off_verdict
from refute.verify.verification import Verified, verify_verdict

Content = dict[str, Any]
PEOPLE = ("gate", "gate2", "ann", "bob", "cid", "mallory")
POLICY = {
    "roles": {
        "operator": {"keys": ["gate", "gate2"]},
        "release-owner": {"keys": ["ann", "bob"]},
        "security": {"keys": ["cid"]},
    },
    "sign_off": ["release-owner"],
    "require_lock": False,
    "require_remeasured": False,
}


@dataclass
class House:
    """Keys of everybody, a verdict signed by `gate`, and what it takes to hold one against a policy."""

    folder: Path
    keys: Mapping[str, PrivateKey]
    judged: Judged

    @property
    def verified(self) -> Verified:
        """The verdict, verified with the operator's key."""
        return verify_verdict(self.judged.path.read_bytes(), [public_pem(self.keys["gate"])])

    def policy(self, *, windows: Mapping[str, Content] = {}, **changes: object) -> LoadedPolicy:
        """POLICY with changes; key lists hold names, and `windows` what else is said of a key, by name."""
        content: Content = json.loads(json.dumps({**POLICY, **changes}))
        for role in content["roles"].values():
            names = role["keys"]
            role["keys"] = [{"name": name, "path": f"keys/{name}.pub", **windows.get(name, {})} for name in names]
        path = self.folder / "policy.yaml"
        path.write_text(json.dumps(content), encoding="utf-8")
        return load_policy(path)

    def sign_off(self, name: str, role: str = "release-owner", decision: Decision = "approve") -> bytes:
        """An honest sign-off."""
        return sign_off_verdict(
            self.verified, self.keys[name], role=role, decision=decision, note=f"by {name}", at=utc_now()
        )

    def forge(self, name: str, change: Callable[[Content], object], digest: str = "") -> bytes:
        """A sign-off with changed content, signed by its owner."""
        content: Content = {
            "role": "release-owner",
            "decision": "approve",
            "note": "n",
            "verdict": {
                "ruling": "GO",
                "release": "tiny",
                "subject_sha256": self.judged.predicate.subject.sha256,
            },
            "signed_at": "2026-01-01T00:00:00Z",
        }
        change(content)
        subject = digest or self.judged.payload_sha256
        payload = build_statement("verdict", subject, content, predicate_type=SIGN_OFF_TYPE)
        return sign_envelope(payload, PAYLOAD_TYPE, [self.keys[name]])

    def enforce(self, *sign_offs: bytes, **changes: Any) -> Verified:
        """Hold the verdict against POLICY with changes."""
        files = {f"{n}.json": data for n, data in enumerate(sign_offs)}
        return enforce(self.policy(**changes), self.judged.path.read_bytes(), self.verified, files)
