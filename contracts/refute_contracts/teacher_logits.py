"""A teacher's logits against the independent forward, and what they may depend on."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refute.check.contracts.rewrite import Rewrite
from refute.engines.distill.threads import one_thread
from refute.errors import NonFiniteError, UsageError
from refute_contracts.refusing import refuses
from refute_contracts.vocabulary import tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from refute.check.contracts.tolerance import Tolerance
    from refute.engines.distill.teacher.loaded import Teacher

_VOCABULARY = 40
_LOGITS = "refute.engines.distill.teacher.loaded:Teacher.logits"
_ATTENTION = "refute.engines.model.forward.numpy_forward:Reference._attention"
IDS = st.lists(st.integers(0, _VOCABULARY - 1), min_size=2, max_size=8)


# What a family adds to the arithmetic that all share: slowed rotary pairs, a window, normed heads.
_SLOWED = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 3.0}
OWN: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama 3": ("llama", {"rope_parameters": _SLOWED | {"original_max_position_embeddings": 16}}),
    "mistral": ("mistral", {"sliding_window": 3}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 8}),
}


@cache
def folder(family: str) -> Path:
    """A random model of two layers as a Hugging Face folder, gone when the process ends."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from refute.engines.model.progress_bars import without_progress_bars

    model_type, own = OWN[family]
    shared: dict[str, Any] = {
        "vocab_size": _VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    config = AutoConfig.for_model(model_type, **shared, **own)
    path = Path(tempfile.mkdtemp(prefix="refute-contract-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(17)
        model = AutoModelForCausalLM.from_config(config)
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "norm" in name else 0.0, 0.3)
    with without_progress_bars():
        model.save_pretrained(path)
    tokenizer().save_pretrained(path)
    return path


@cache
def teacher(family: str) -> Teacher:
    """The provider of that model."""
    from refute.engines.distill.teacher.loaded import load_teacher
    from refute.spec.release import HfModel

    return load_teacher(HfModel(format="hf", path="model"), folder(family), device="cpu")


def logits(ids: list[list[int]], positions: list[list[int]] | None = None, family: str = "llama") -> Tensor:
    """The provider's answer (B, L, V)."""
    import torch

    with one_thread():
        return teacher(family).logits(torch.tensor(ids), None if positions is None else torch.tensor(positions))


@given(ids=IDS, family=st.sampled_from(sorted(OWN)))
def provider_equals_the_reference(ids: list[int], family: str, within: Tolerance) -> None:
    """At every position, against a forward in float64 that shares no code with it."""
    from refute.engines.model.forward.numpy_forward import reference_logits

    expected = reference_logits(folder(family), np.array(ids))
    assert within.admits(logits([ids], family=family)[0].flatten().tolist(), expected.ravel())


@given(first=IDS, second=IDS)
def documents_do_not_see_each_other(first: list[int], second: list[int], within: Tolerance) -> None:
    """Where positions restart, a document is answered as if it stood alone."""
    positions = [*range(len(first)), *range(len(second))]
    packed = logits([[*first, *second]], [positions])[0, len(first) :]
    assert within.admits(packed.flatten().tolist(), logits([second])[0].flatten().tolist())


@given(ids=IDS, place=st.integers(1, 7), other=st.integers(1, _VOCABULARY - 1))
def the_future_does_not_show(ids: list[int], place: int, other: int, within: Tolerance) -> None:
    """Another id at one place changes no answer before it."""
    place = min(place, len(ids) - 1)
    changed = [*ids[:place], (ids[place] + other) % _VOCABULARY, *ids[place + 1 :]]
    before, after = (logits([each])[0, :place].flatten().tolist() for each in (ids, changed))
    assert within.admits(after, before)


@given(rows=st.lists(st.lists(st.integers(0, _VOCABULARY - 1), min_size=5, max_size=5), min_size=2, max_size=4))
def states_and_head_say_what_logits_say(rows: list[list[int]], within: Tolerance) -> None:
    """The short form in which an answer travels, multiplied out, row for row."""
    import torch

    from refute.engines.distill.data.packing import pack

    batch = pack(torch.tensor(rows), None)
    with one_thread():
        answer = teacher("llama").answer(batch)
    assert answer.hidden is not None
    assert answer.head is not None
    assert not answer.hidden.requires_grad
    found = (answer.hidden @ answer.head.T).flatten().tolist()
    assert within.admits(found, logits(batch.ids.tolist()).flatten().tolist())


@given(ids=IDS, place=st.integers(0, 7), outside=st.sampled_from([-1, _VOCABULARY, 10**6]))
def foreign_ids_are_refused(ids: list[int], place: int, outside: int) -> None:
    """An id that the teacher does not know is never looked up."""
    wrong = [*ids]
    wrong[min(place, len(ids) - 1)] = outside
    assert refuses(UsageError, lambda: logits([wrong]))


@given(ids=IDS, bad=st.sampled_from([np.nan, np.inf]))
def numbers_that_are_not_finite_are_refused(ids: list[int], bad: float) -> None:
    """A teacher whose weights went wrong teaches nothing."""
    import torch

    norm = teacher("llama").model.get_parameter("model.norm.weight")
    before = norm.detach().clone()
    with torch.no_grad():
        norm.fill_(bad)
    try:
        assert refuses(NonFiniteError, lambda: logits([ids]))
    finally:
        with torch.no_grad():
            norm.copy_(before)


off_by_one_position = Rewrite(_LOGITS, {".logits.float()": ".logits.float().roll(1, dims=1)"})
bidirectional = Rewrite(
    _LOGITS, {".logits.float()": ".logits.float().mean(dim=1, keepdim=True).expand(-1, input_ids.shape[1], -1)"}
)
documents_ignored = Rewrite(
    "refute.engines.distill.teacher.loaded:Teacher._inputs",
    {'return {"input_ids": ids} if positions is None': 'return {"input_ids": ids} if True'},
)
answer_of_another_window = Rewrite(
    "refute.engines.distill.teacher.loaded:Teacher.answer",
    {"last_hidden_state.flatten(0, 1)": "last_hidden_state.flip(0).flatten(0, 1)"},
)
ids_cut_to_fit = Rewrite(
    "refute.engines.distill.teacher.interface:check_ids",
    {
        "if input_ids.numel() and (": "if False and (",
        "return input_ids.long()": "return input_ids.long().clamp(0, rows - 1)",
    },
)
nan_passed_on = Rewrite(_LOGITS, {"not bool(logits.amax().isfinite())": "False"})
reference_without_rotation = Rewrite(
    _ATTENTION, {"queries, keys = (rotate(heads, cosine, sine, shape) for heads in (queries, keys))": "pass"}
)
reference_sees_one_ahead = Rewrite(
    "refute.engines.model.forward.numpy_forward:Reference._visible", {"back >= 0": "back >= -1"}
)
reference_without_window = Rewrite(
    "refute.engines.model.forward.numpy_forward:Reference._visible", {"length if window is None else window": "length"}
)
reference_with_plain_heads = Rewrite(_ATTENTION, {"if shape.norms_heads:": "if False:"})
reference_at_full_speed = Rewrite(
    "refute.engines.model.forward.rotary:llama3_divisors", {"return divisors": "return divisors * 0 + 1"}
)
