"""Experiment: a teacher that knows its subject, a corpus and problems, all so small that a whole line takes seconds.

Everything is real; only the subject is small: one-line functions whose docstring says what they compute.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from refute.job import Job
from refute.spec.experiments.drill import WorldConfig
from refute.spec.experiments.parsing import parse_config

_WORDS: Final = {"Double it.": "n * 2", "Negate it.": "-n", "The next one.": "n + 1", "Square it.": "n * n"}
# No document holds it: nobody can know what is asked for, so no model solves everything.
_UNHEARD_OF: Final = {"Halve it.": "n / 2"}
_DOCUMENTS, _FUNCTIONS = 300, 4
_VOCABULARY, _HIDDEN, _LAYERS, _POSITIONS = 320, 32, 4, 128
_END = "<|end|>"
_STEPS, _BATCH, _LENGTH, _RATE = 130, 16, 32, 8e-3


def build_world(job: Job) -> None:
    """Writes teacher/ (a Hugging Face folder), corpus/ (files) and problems.jsonl, the same for the same seed."""
    config = parse_config(WorldConfig, job)
    torch.set_num_threads(1)
    chance = random.Random(config.seed)  # noqa: S311  # reproducible, and no secret
    documents = list(_documents(chance))
    (job.out / "corpus").mkdir()
    for number, text in enumerate(documents):
        (job.out / "corpus" / f"d{number:03}.py").write_text(text, encoding="utf-8")
    problems = "".join(json.dumps(each) + "\n" for each in _problems(chance, config.problems))
    (job.out / "problems.jsonl").write_text(problems, encoding="utf-8")
    job.progress("teach a small teacher", 0, 1)
    tokenizer = _tokenizer(documents)
    _taught(tokenizer, documents).save_pretrained(job.out / "teacher")
    tokenizer.save_pretrained(job.out / "teacher")


def problems_sha256(folder: Path) -> str:
    """Of the problem file of a world."""
    return hashlib.sha256((folder / "problems.jsonl").read_bytes()).hexdigest()


def _documents(chance: random.Random) -> Iterator[str]:
    for _ in range(_DOCUMENTS):
        words = [chance.choice(sorted(_WORDS)) for _ in range(_FUNCTIONS)]
        functions = [f'def {_name(chance)}(n):\n    """{word}"""\n    return {_WORDS[word]}\n' for word in words]
        yield "\n\n".join(functions)


def _problems(chance: random.Random, count: int) -> Iterator[dict[str, str]]:
    bodies = _WORDS | _UNHEARD_OF
    for number in range(count):
        word, name = sorted(bodies)[number % len(bodies)], _name(chance)
        checks = "".join(f"    assert candidate({n}) == (lambda n: {bodies[word]})({n})\n" for n in (3, 7, -4))
        yield {
            "task_id": f"Small/{number}",
            "prompt": f'def {name}(n):\n    """{word}"""\n',
            "entry_point": name,
            "canonical_solution": f"    return {bodies[word]}\n",
            "test": f"\n\ndef check(candidate):\n{checks}",
        }


def _name(chance: random.Random) -> str:
    return "".join(chance.choice("abcdefgh") for _ in range(3))


def _tokenizer(documents: Sequence[str]) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        documents,
        trainers.BpeTrainer(
            vocab_size=_VOCABULARY, special_tokens=[_END], initial_alphabet=alphabet, show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=_END, pad_token=_END)


def _taught(tokenizer: PreTrainedTokenizerFast, documents: Sequence[str]) -> LlamaForCausalLM:
    """A Llama that has read the documents: next-token cross-entropy, AdamW, a rate that rises and falls."""
    ids = [token for text in documents for token in [*tokenizer.encode(text), tokenizer.eos_token_id]]
    windows = torch.tensor(ids[: len(ids) // _LENGTH * _LENGTH]).reshape(-1, _LENGTH)
    torch.manual_seed(0)
    model = LlamaForCausalLM(_shape(len(tokenizer)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=0.0)
    for step in range(_STEPS):
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1.0, (step + 1) / 10, (_STEPS - step) / 50)
        batch = windows[torch.randint(len(windows), (_BATCH,))]
        loss: Tensor = model(input_ids=batch, labels=batch).loss
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return model.eval()


def _shape(vocabulary: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=_HIDDEN,
        intermediate_size=2 * _HIDDEN,
        num_hidden_layers=_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
