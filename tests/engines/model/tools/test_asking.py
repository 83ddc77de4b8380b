"""Models are asked in the engine of their format; what cannot be looked at is no gate that was passed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from model_workshop import Workshop
from refute.engines.model.tools.asking.bench import measure_speed
from refute.engines.model.tools.asking.degenerate import degenerate
from refute.engines.model.tools.asking.engine import Sampling
from refute.engines.model.tools.asking.opening import open_engine
from refute.engines.model.tools.asking.qa import GATES, Case, run_gates
from refute.engines.model.tools.readiness import look_at_readiness
from refute.errors import RefuteError, UnreadableInputError, UsageError

PROMPT = "def f1(n):\n"


@pytest.mark.parametrize(
    ("ids", "text", "fault"),
    [
        (range(30), "a text", None),
        ([1] * 15, "aaa", None),
        ((), "", "nothing was generated"),
        ([5], "", "and no text"),
        (range(9), " \n", "and no text"),
        (range(9), "a cut character \ufffd", None),
        (range(9), "\ufffd", "no character of a text"),
        (range(9), "a\ufffdb", "no character of a text"),
        (range(9), "a\x07", "no character of a text"),
        ([1, 2, 3] * 10, "abc", "of its runs of three tokens"),
    ],
)
def test_what_is_no_text_is_said(ids: list[int], text: str, fault: str | None) -> None:
    """By a stated measure: nothing, odd characters, or few different runs of three tokens in a long answer."""
    found = degenerate(list(ids), text)
    assert (found is None) is (fault is None)
    assert fault is None or fault in str(found)


@pytest.mark.slow  # loads two engines
def test_both_engines_go_on_alike(workshop: Workshop) -> None:
    """A folder and its GGUF file: the same ids of a prompt, greedy or, in one engine, drawn twice by one seed."""
    model = workshop.model("llama")
    folder, file = workshop.folder(model), workshop.gguf_file(model)
    answers = []
    for path in (folder, file):
        with open_engine(path, threads=1, context=64) as engine:
            ids = engine.encode(PROMPT)
            answers.append(engine.generate(ids, Sampling(8, to_the_end=True)))
            drawn = [engine.generate(ids, Sampling(8, temperature=1.0, seed=3, to_the_end=True)).ids for _ in range(2)]
            assert drawn[0] == drawn[1]
            assert engine.decode(ids) == PROMPT
    assert answers[0].prompt == answers[1].prompt
    assert answers[0].ids == answers[1].ids
    assert len(answers[0].ids) == 8


def test_speed_is_measured_beside_the_bare_engine(workshop: Workshop) -> None:
    """As many answers as were asked for; every figure is a finite rate."""
    with open_engine(workshop.folder(workshop.model("llama")), threads=1) as engine:
        found = measure_speed(engine, n=2, warm_up=0, new_tokens=3)
    assert (found.n, found.new_tokens) == (2, 3)
    assert 0 < found.p50_ms <= found.p99_ms
    assert min(found.prompt_tokens_per_s, found.generated_tokens_per_s, found.bare_tokens_per_s, found.ratio) > 0


def test_the_likeliest_token_can_always_be_drawn(workshop: Workshop) -> None:
    """Of no share of the tokens there is one left; after no token there is none to go on from."""
    with open_engine(workshop.folder(workshop.model("llama")), threads=1) as engine:
        ids = engine.encode(PROMPT)
        drawn = engine.generate(ids, Sampling(3, temperature=1.0, top_p=0.0, to_the_end=True))
        assert drawn.ids == engine.generate(ids, Sampling(3, to_the_end=True)).ids
        with pytest.raises(UsageError, match="the prompt has no token"):
            engine.generate([], Sampling(3))


def test_what_is_asked_to_the_end_chooses_no_end(workshop: Workshop) -> None:
    """As llama.cpp does: one that went on behind its end would be compared with one that never ended."""
    folder = workshop.folder(workshop.model("llama"))
    with open_engine(folder, threads=1) as engine:
        ids = engine.encode(PROMPT)
        first = engine.generate(ids, Sampling(1)).ids[0]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": first}), encoding="utf-8")
    with open_engine(folder, threads=1) as engine:
        assert engine.generate(ids, Sampling(8)).ids == (first,)
        found = engine.generate(ids, Sampling(8, to_the_end=True)).ids
    assert len(found) == 8
    assert first not in found


@pytest.mark.slow  # generates in two engines
def test_gates_are_a_complete_set(workshop: Workshop) -> None:
    """Eight endings whatever happens: the other format agrees, a floor that nobody reaches fails, no template fails."""
    model = workshop.model("llama")
    folder, file = workshop.folder(model), workshop.gguf_file(model)
    found = {each.gate: each.state for each in run_gates(folder, beside=file, floor=1e9, threads=1)}
    assert list(found) == list(GATES)
    assert len(found) == 8
    assert (found["format_parity"], found["determinism"], found["tokenizer"]) == ("passed", "passed", "passed")
    assert (found["throughput"], found["chat_template"], found["metadata"]) == ("failed", "failed", "failed")
    other = workshop.gguf_file(workshop.model("llama", tied=False))
    with open_engine(folder, threads=1) as engine, open_engine(other, threads=1) as beside:
        for rounded in (False, True):
            state, told = GATES["format_parity"](Case(folder, (), engine, 0.0, beside, rounded))
            assert state == "failed", told


@pytest.mark.slow  # generates in two engines
def test_rows_named_after_an_export_are_about_it(workshop: Workshop) -> None:
    """The folder has a template of its own, and its file none. Rounded to 8 bits, it is the same model."""
    model = workshop.model("llama")
    folder, file = workshop.folder(model), workshop.gguf_file(model, block_format="Q8_0")
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}", encoding="utf-8")
    rows = look_at_readiness(folder, exports=(file,), floor=0.0, threads=1)
    found = {each.gate: each for each in rows}
    states = found["model: chat_template"].state, found[f"{file.name}: chat_template"].state
    assert (states, "states no chat template" in found[f"{file.name}: chat_template"].found) == (
        ("passed", "failed"),
        True,
    )
    assert {found[f"{name}: format_parity"].state for name in ("model", file.name)} == {"passed"}, rows


def test_one_format_is_not_compared_with_itself(workshop: Workshop) -> None:
    """Neither a model with itself nor a file with another, as an export, too: nothing is loaded for it."""
    file = workshop.gguf_file(workshop.model("llama"))
    copy = Path(shutil.copy(file, workshop.root / "copy.gguf"))
    for beside in (file, copy):
        with pytest.raises(UsageError, match="are both GGUF files"):
            run_gates(file, beside=beside, floor=0.0, threads=1)
        with pytest.raises(UsageError, match="are both GGUF files"):
            look_at_readiness(file, exports=(beside,), floor=0.0, threads=1)


@pytest.mark.slow  # generates
def test_what_raises_fails_its_gate(workshop: Workshop) -> None:
    """A template that does not parse: the gates after it have their endings."""
    folder = workshop.folder(workshop.model("llama"))
    (folder / "chat_template.jinja").write_text("{% if %}", encoding="utf-8")
    found = {each.gate: each for each in run_gates(folder, beside=None, floor=0.0, threads=1)}
    assert (found["chat_template"].state, found["determinism"].state) == ("failed", "passed")
    assert "TemplateSyntaxError" in found["chat_template"].found


@pytest.mark.slow
def test_what_was_not_run_is_not_ready(workshop: Workshop) -> None:
    """Without another format and without exports two rows say so."""
    folder = workshop.folder(workshop.model("llama"))
    rows = look_at_readiness(folder, exports=(), floor=0.0, threads=1)
    assert {each.gate for each in rows if each.state == "not run"} == {"model: format_parity", "exports"}
    assert {"digest", "model: lint", "model: physics", "model: golden_output"} <= {each.gate for each in rows}


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    """Before an engine is loaded."""
    (tmp_path / "model.bin").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(UnreadableInputError, match="is a pickle"), open_engine(tmp_path / "model.bin", threads=1):
        pass
    with pytest.raises(RefuteError):
        look_at_readiness(tmp_path, exports=(), floor=0.0, threads=1)
