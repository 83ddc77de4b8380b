"""One text for each version of a specification, remembered beside the runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from refute.attest import PrivateKey, sha256_hex
from refute.errors import EvidenceError
from refute.judge.judge_run import Operator, judge_run
from refute.judge.run.folder import RunFolder
from refute.judge.run.spec_versions import changed_texts, remember_texts
from refute.outcome import Ruling
from refute.spec.criteria import parse_spec
from refute.spec.texts import SpecText
from tiny_spec import tiny_spec

LOOSE = tiny_spec().replace(">= 80 %", ">= 79 %")


@pytest.mark.slow
def test_another_text_needs_another_version(make_run: Callable[..., RunFolder], key: PrivateKey) -> None:
    """A bar lowered in place is NO-GO however often it is judged; counted up, it is a specification of its own."""
    operator = Operator(key, development=False)
    assert judge_run(make_run(), operator).predicate.verdict.ruling is Ruling.GO
    for _ in range(2):
        verdict = judge_run(make_run(spec=LOOSE), operator).predicate.verdict
        assert verdict.ruling is Ruling.NO_GO
        assert verdict.reasons[0].startswith("SPEC-TINY-001 version 1 was judged here with the text of SHA-256")
        assert "count its `version` up" in verdict.reasons[0]
    counted = LOOSE.replace("version: 1", "version: 2")
    assert judge_run(make_run(spec=counted), operator).predicate.verdict.ruling is Ruling.GO
    assert judge_run(make_run(), operator).predicate.verdict.ruling is Ruling.GO


def test_what_cannot_be_read_is_no_answer(tmp_path: Path) -> None:
    """Neither a folder in its place nor bytes that are no digest pass for a version never judged."""
    text = tiny_spec()
    specs, texts = [parse_spec(text, "s")], [SpecText(id="s", name="s", sha256=sha256_hex(text.encode()), text=text)]
    remember_texts(tmp_path, specs, texts)
    kept = tmp_path / ".specs" / "SPEC-TINY-001" / "1"
    assert changed_texts(tmp_path, specs, texts) == ()
    kept.write_bytes(b"\xff")
    with pytest.raises(EvidenceError, match="cannot read which text was judged"):
        changed_texts(tmp_path, specs, texts)
    kept.unlink()
    os.mkfifo(kept)
    with pytest.raises(EvidenceError, match="it is a pipe or a device"):
        changed_texts(tmp_path, specs, texts)
    kept.unlink()
    kept.mkdir()
    with pytest.raises(EvidenceError, match="cannot read which text was judged"):
        changed_texts(tmp_path, specs, texts)
    with pytest.raises(EvidenceError, match="cannot read which text was judged"):
        remember_texts(tmp_path, specs, texts)
