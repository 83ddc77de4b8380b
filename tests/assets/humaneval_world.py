"""Tiny models, a tokenizer with a chat template, three problems, and jobs around them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from json_lines import write_rows
from openai_server import Fake, running
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.program import function_head
from refute.job import Fact, Inputs, Job

TEMPLATE = (
    "{% for message in messages %}<|turn|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
SPECIAL = ["<|end|>", "<|turn|>"]
LINES = ['def f(n):\n    """Add.\n    """\n    return n + 1\n', "for item in items:\n        total += item\n"]
# How cl100k-like tokenizers split: a line break belongs to the punctuation before it.
GREEDY_BREAK = r"[^\s\p{L}\p{N}]+[\r\n]*|\s+|\p{L}+|\p{N}+"


@dataclass(frozen=True)
class Event:
    """One call of `Job.report`."""

    stage: str
    step: int
    total: int
    facts: Mapping[str, Fact]


@dataclass(frozen=True)
class Desk:
    """Makes jobs that share one scratch folder, and keeps what they report."""

    root: Path
    events: list[Event]

    def job(self, config: Mapping[str, object], out: str = "out", **inputs: Path) -> Job:
        """A job with a fresh folder `out`."""
        (self.root / out).mkdir(parents=True)
        (self.root / "scratch").mkdir(exist_ok=True)
        found = {name: Inputs(name, folder) for name, folder in inputs.items()}

        def report(stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
            self.events.append(Event(stage, step, total, facts))

        scratch = self.root / "scratch"
        return Job("humaneval_test", json.dumps(config), found, self.root / out, scratch, report)


def make_tokenizer(*, greedy_break: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level BPE; with `greedy_break`, line breaks merge into preceding punctuation."""
    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not greedy_break)
    split = pre_tokenizers.Split(Regex(GREEDY_BREAK), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level]) if greedy_break else byte_level
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES * 40, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")  # noqa: S106  # a token of a vocabulary, no secret
    fast.add_special_tokens({"additional_special_tokens": ["<|turn|>"]})
    fast.chat_template = TEMPLATE
    return fast


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that, as SmolLM2's, merges a line break with the indentation after it."""
    return make_tokenizer()


@pytest.fixture(scope="session")
def breaking_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that, as Qwen's, merges a line break with the punctuation before it."""
    return make_tokenizer(greedy_break=True)


@pytest.fixture
def bare_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of one's own, without a chat template."""
    own = make_tokenizer()
    own.chat_template = None
    return own


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """More threads only wait for each other in models of this size."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def sizes() -> dict[str, Any]:
    """Configuration of a tiny model of any family."""
    return {
        "vocab_size": 330,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.6,
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }


@pytest.fixture
def make_model(tokenizer: PreTrainedTokenizerFast, sizes: dict[str, Any]) -> Callable[[int], LlamaForCausalLM]:
    """Makes a Llama of 2 layers whose greedy text varies, breaks lines and ends."""
    breaks = [number for token, number in tokenizer.get_vocab().items() if token.startswith("Ċ")]

    def make(seed: int) -> LlamaForCausalLM:
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**sizes, max_position_embeddings=512)).eval()
        with torch.no_grad():
            model.lm_head.weight[[*breaks, 0, 1]] *= 2.0
            for name, weight in model.named_parameters():
                # Diffuse attention: whatever is wrongly attended to, such as padding, changes the text.
                if name.endswith("self_attn.q_proj.weight"):
                    weight *= 0.1
        return model

    return make


@pytest.fixture
def gguf_file(
    tmp_path: Path, make_model: Callable[[int], LlamaForCausalLM], tokenizer: PreTrainedTokenizerFast
) -> Callable[..., Path]:
    """Writes the tiny model as llama.cpp's converter would; `template`, `tokens` and `fault` change what is in it."""

    def write(*, template: str | None = TEMPLATE, tokens: bool = True, fault: float | None = None) -> Path:
        model = make_model(1)
        model.resize_token_embeddings(len(tokenizer))
        path = tmp_path / "tiny.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        _describe(writer, model.config)
        if tokens:
            _describe_tokens(writer, tokenizer, template)
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.config.num_hidden_layers)
        for name, tensor in model.state_dict().items():
            data = tensor.numpy().copy()
            if "q_proj" in name or "k_proj" in name:
                heads = model.config.num_attention_heads if "q_proj" in name else model.config.num_key_value_heads
                # llama.cpp rotates pairs of neighbours, transformers halves.
                data = data.reshape(heads, 2, -1, data.shape[-1]).swapaxes(1, 2).reshape(data.shape)
            if fault is not None and "layers.1.mlp.down_proj" in name:
                data[3] = fault
            module, _, suffix = name.rpartition(".")
            writer.add_tensor(f"{names.get_name(module)}.{suffix}", np.ascontiguousarray(data))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write


def _describe(writer: gguf.GGUFWriter, config: LlamaConfig) -> None:
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads or config.num_attention_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)


def _describe_tokens(writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerFast, template: str | None) -> None:
    vocabulary = tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if token in SPECIAL else normal for token in tokens])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)


@pytest.fixture
def problems() -> list[Problem]:
    """Three honest problems whose prompts differ in length; the third needs its prompt's import."""
    cases = (
        ("double", "Twice n.", "n * 2", "n * 2"),
        ("plus_one", "Return n plus one.\n\n    >>> plus_one(1)\n    2", "n + 1", "n + 1"),
        ("floor", "Next.", "math.floor(n + 1.5)", "n + 1"),
    )
    return [
        Problem(
            f"Own/{number}",
            f'import math\n\n\ndef {name}(n: int) -> int:\n    """{text}\n    """\n',
            name,
            f"    return {solution}\n",
            f"def check(candidate):\n    for n in range(3):\n        assert candidate(n) == {expected}\n",
        )
        for number, (name, text, solution, expected) in enumerate(cases)
    ]


@pytest.fixture
def fake(problems: list[Problem]) -> Iterator[Fake]:
    """A server that knows the three solutions; it loses every other try unless a test changes its `mode`."""
    with running({function_head(problem): "\n" + problem.canonical_solution for problem in problems}) as found:
        yield found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk in a fresh folder."""
    return Desk(tmp_path / "desk", [])


@pytest.fixture
def problem_file(tmp_path: Path, problems: list[Problem]) -> Path:
    """The three problems as JSONL."""
    path = tmp_path / "problems.jsonl"
    write_rows(path, map(asdict, problems))
    return path


@pytest.fixture
def settings(problem_file: Path) -> dict[str, object]:
    """A `humaneval` section that runs on any system."""
    digest = hashlib.sha256(problem_file.read_bytes()).hexdigest()
    return {
        "problems": {"path": problem_file.name, "sha256": digest},
        "prompt": "chat_primed",
        "max_new_tokens": 12,
        "batch_size": 2,
        "timeout_s": 10.0,
        "minimum_isolation": "rlimits",
    }


@pytest.fixture
def config(settings: dict[str, object], problem_file: Path) -> dict[str, object]:
    """An evaluation of the evidence `student`."""
    return {
        "model": {"kind": "evidence", "name": "student"},
        "humaneval": settings,
        "problems_path": str(problem_file),
        "threads": 1,
    }


@pytest.fixture
def student(tmp_path: Path, make_model: Callable[[int], LlamaForCausalLM], tokenizer: PreTrainedTokenizerFast) -> Path:
    """Evidence that holds a tiny model: a folder with `model/` in it."""
    folder = tmp_path / "student"
    make_model(1).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return folder
