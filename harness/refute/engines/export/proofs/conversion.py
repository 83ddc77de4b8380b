"""How far a GGUF file in llama.cpp is from the folder in transformers: two programs, one model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from refute.engines.model.server.llama_cpp import LlamaCpp, serve_in_llama_cpp
from refute.errors import ExperimentError, NonFiniteError
from refute.spec.experiments.evidence.export import Divergence

LogProbabilities = NDArray[np.float64]


def spread(count: int, far: int) -> tuple[int, ...]:
    """`count` positions from 0: most within the first 256, and `far` itself."""
    near = np.linspace(3, min(255, far - 1), count - 1).round().astype(int)
    return (*dict.fromkeys(near.tolist()), far)


@torch.inference_mode()
def in_transformers(model: PreTrainedModel, ids: Sequence[int], positions: Sequence[int]) -> LogProbabilities:
    """ln p (positions, V) of the token after each position of `ids`, computed by the folder's own model in float32."""
    kept = torch.tensor(positions)
    logits = model(input_ids=torch.tensor([list(ids)]), logits_to_keep=kept, use_cache=False).logits[0]
    found: LogProbabilities = torch.log_softmax(logits.double(), dim=-1).numpy()
    return found


def in_llama_cpp(path: Path, ids: Sequence[int], positions: Sequence[int], rows: int, threads: int) -> LogProbabilities:
    """The same (positions, V) by llama.cpp, prefix after prefix."""
    with serve_in_llama_cpp(path, context=max(positions) + 8, threads=threads) as server:
        said = server.tokenize("a")[0]
        return np.stack([_next(server, ids[: position + 1], rows, said) for position in positions])


def compare(folder: LogProbabilities, file: LogProbabilities, positions: Sequence[int]) -> Divergence:
    """KL(folder || file) at each position, in nat. Raises NonFiniteError where a number is none."""
    kl = (np.exp(folder) * (folder - file)).sum(axis=-1)
    if not np.isfinite(kl).all():
        raise NonFiniteError("probabilities hold NaN or zeros, so they cannot be compared")
    same = folder.argmax(axis=-1) == file.argmax(axis=-1)
    return Divergence(positions=tuple(positions), kl=tuple(kl.tolist()), same_first=tuple(same.tolist()))


def _next(server: LlamaCpp, ids: Sequence[int], rows: int, said: int) -> LogProbabilities:
    """ln p (V,) after `ids`. What the server had evaluated before is not evaluated again.

    Probabilities come back only with a token that is text of its own, no end and no half of a letter. So it is made to
    say `said`, which changes no probability: they are taken before anything acts on the logits.
    """
    how = {"n_predict": 1, "n_probs": rows, "temperature": 0.0, "logit_bias": [[said, 1e4]], "cache_prompt": True}
    answer = server.ask("completion", {"prompt": list(ids), **how})
    odds = answer["completion_probabilities"][0]["top_logprobs"]
    found = np.full(rows, np.nan)
    for each in odds:
        found[each["id"]] = each["logprob"] if each["logprob"] is not None else np.nan
    if np.isnan(found).any():
        raise ExperimentError(
            f"llama.cpp gave probabilities of {rows - int(np.isnan(found).sum())} of {rows} tokens after {len(ids)}",
            hint="the file's vocabulary is not the model's, or its weights give NaN",
        )
    # Of 49,152 numbers in float32 the sum is off by 1e-4, which is no difference of two models.
    whole: LogProbabilities = found - np.log(np.exp(found).sum())
    return whole
