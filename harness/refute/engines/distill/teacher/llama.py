"""Teacher logits from llama.cpp: the quantised weights as they are, with the kernels that would serve them."""

from __future__ import annotations

import atexit
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from refute.engines.distill.data.packing import Batch
from refute.engines.distill.teacher.interface import TeacherOutput, check_ids
from refute.engines.model.gguf import open_gguf
from refute.engines.model.tokenizer import open_tokenizer
from refute.errors import ExperimentError, MissingDependencyError, NonFiniteError
from refute.spec.release import GgufModel


@dataclass(frozen=True, slots=True)
class LlamaTeacher:
    """A GGUF model in llama.cpp on the CPU; answers go to `device`. It sees one document at a time."""

    llama: Any
    tokenizer: PreTrainedTokenizerFast
    parameters: int
    device: torch.device
    size: int

    @property
    def vocab_rows(self) -> int:
        """Width V of the logits."""
        return int(self.llama.n_vocab())

    def logits(self, input_ids: Tensor, positions: Tensor | None = None) -> Tensor:
        """As `Teacher.logits`."""
        ids = check_ids(input_ids, self.vocab_rows).cpu()
        rows = [self._row(row, None if positions is None else positions[index]) for index, row in enumerate(ids)]
        logits = torch.from_numpy(np.stack(rows)).to(self.device)
        if logits.numel() and not bool(logits.amax().isfinite()):
            raise NonFiniteError(f"llama.cpp gave NaN or +inf for input_ids {tuple(input_ids.shape)}")
        return logits

    def answer(self, batch: Batch) -> TeacherOutput:
        """Logits: llama.cpp hands out no hidden states at every position."""
        return TeacherOutput(logits=self.logits(batch.ids, batch.positions).flatten(0, 1))

    def _row(self, ids: Tensor, positions: Tensor | None) -> np.ndarray[Any, np.dtype[np.float32]]:
        starts = [0] if positions is None else [index for index, place in enumerate(positions.tolist()) if place == 0]
        pieces = []
        for first, last in zip(starts, [*starts[1:], len(ids)], strict=True):
            self.llama.reset()
            self.llama.eval(ids[first:last].tolist())
            pieces.append(np.array(self.llama.scores[: last - first], dtype=np.float32))
        return np.concatenate(pieces)


def open_llama_teacher(model: GgufModel, path: Path, *, context: int, threads: int, device: str) -> LlamaTeacher:
    """The GGUF file at `path` in llama.cpp, for texts of up to `context` tokens.

    Raises MissingDependencyError without llama-cpp-python, MissingInputsError for a file that is absent or cut short,
    ExperimentError for one that llama.cpp refuses.
    """
    try:
        from llama_cpp import Llama  # pyright: ignore[reportMissingImports]  # an extra
    except ImportError as error:
        raise MissingDependencyError("natively quantised GGUF teachers", "llama") from error
    parameters = sum(int(tensor.n_elements) for tensor in open_gguf(path).tensors)
    try:
        llama = Llama(
            model_path=str(path),
            n_ctx=context,
            n_batch=context,
            n_threads=threads,
            n_threads_batch=threads,
            logits_all=True,
            verbose=False,
        )
    except (ValueError, RuntimeError) as error:
        raise ExperimentError(
            f"llama.cpp cannot load {path}: {error}", hint="is its architecture supported?"
        ) from error
    # Left to the interpreter's end, it would be freed after the library that frees it.
    atexit.register(llama.close)
    return LlamaTeacher(llama, open_tokenizer(model, path), parameters, torch.device(device), path.stat().st_size)
