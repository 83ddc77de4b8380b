"""What a consumer says of a verdict: an honest statement, and the same with whatever a test changes in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from refute.attest import (
    PAYLOAD_TYPE,
    build_statement,
    generate_key,
    key_id,
    load_private_key,
    public_pem,
    sign_envelope,
    write_sigstore_bundle,
)
from refute.judge.predicate.engine import identify_engine
from refute.judge.sign import Judged
from refute.spec.fields import utc_text
from refute.verify.consumer.count import Evidence, evidence_of
from refute.verify.consumer.statement import CONSUMER_TYPE
from refute.verify.verification import Verified, verify_verdict

Content = dict[str, Any]
Change = Callable[[Content], object]


@dataclass(frozen=True)
class Consuming:
    """A signed verdict in `root`, whose operator's key is `signer`, and keys of whoever says something of it."""

    root: Path
    judged: Judged
    signer: str

    def public(self, name: str) -> bytes:
        """A public key (PEM); made if need be."""
        return public_pem(load_private_key(self._key(name)))

    def _key(self, name: str) -> Path:
        path = self.root / "keys" / f"{name}.key"
        return path if path.exists() else generate_key(self.root / "keys", name).private

    @property
    def verified(self) -> Verified:
        """The verdict, by its operator's key."""
        return verify_verdict(self.judged.path.read_bytes(), [self.public(self.signer)])

    def evidence(self, files: Mapping[str, bytes] = {}, at: datetime | None = None) -> Evidence:
        """With statements beside the verdict, by name."""
        return evidence_of(self.verified, self.judged.path.read_bytes(), files, at)

    def honest(self) -> Content:
        """What somebody says for whom llama.cpp has worked."""
        predicate, now = self.judged.predicate, datetime.now(UTC)
        path = {
            "engine": "llama.cpp",
            "file": "m.gguf",
            "text": "return 1",
            "tokens": 2,
            "versions": {"xllamacpp": "1"},
        }
        subject = {"ruling": "GO", "release": predicate.release.id, "subject_sha256": predicate.subject.sha256}
        return {
            "result": "used",
            "verdict": subject,
            "prompt": "def fibonacci(n):\n",
            "paths": [{**path, "reached": [], "failed": None}],
            "not_run": {"transformers": "not installed: torch"},
            "host": {"platform": "Linux", "python": "3.11", "cpus": 2},
            "engine": identify_engine().model_dump(mode="json"),
            "note": "",
            "signed_at": utc_text(now),
            "valid_until": utc_text(now + timedelta(days=90)),
        }

    def say(
        self, change: Change = lambda _: None, *, by: str = "consumer", about: str = "", kind: str = CONSUMER_TYPE
    ) -> bytes:
        """The honest statement after `change`, signed by `by`, about the payload with the digest `about`."""
        content = self.honest()
        change(content)
        subject = about or self.judged.payload_sha256
        payload = build_statement("verdict", subject, json.loads(json.dumps(content)), predicate_type=kind)
        key = load_private_key(self._key(by))
        return write_sigstore_bundle(sign_envelope(payload, PAYLOAD_TYPE, [key]), key_id(public_pem(key)))

    def withdraw(self, *, by: str = "consumer", days: int = 0) -> bytes:
        """What takes it back, dated so many days from now."""

        def change(content: Content) -> None:
            dated = utc_text(datetime.now(UTC) + timedelta(days=days))
            content.update(result="withdrawn", paths=[], note="it crashed later", signed_at=dated)

        return self.say(change, by=by)
