"""A tiny teacher, its tokenizer and jobs around them: real models, small enough for milliseconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from refute.engines.distill.data.tokenize import Tokenize, tokenize
from refute.engines.distill.experiments.train import train
from refute.engines.distill.threads import one_thread
from refute.engines.model.tokenizer import tokenizer_sha256
from refute.job import Inputs, Job, ProgressCallback
from small_corpus import PROBLEM, write_sources
from training_runs import BASE, SCHEDULED, run_config

TEXT = [f"def f{i}(n):\n    return n * {i} + {i % 7}\n" for i in range(200)]
SEQ_LEN = 16


@pytest.fixture(name="one_thread")
def _one_thread() -> Iterator[None]:
    """Tensors this small are slower on two threads, and much slower on a busy machine."""
    with one_thread():
        yield


def jobs_below(root: Path) -> Callable[..., Job]:
    """Makes jobs whose `out` and `scratch` lie below `root`; the same name means the same folders."""

    def make(
        name: str,
        config: Mapping[str, object],
        inputs: Mapping[str, Path] | None = None,
        report: ProgressCallback = lambda *_: None,
    ) -> Job:
        out, scratch = root / "jobs" / name / "out", root / "jobs" / name / "scratch"
        out.mkdir(parents=True, exist_ok=True)
        scratch.mkdir(parents=True, exist_ok=True)
        found = {key: Inputs(key, folder) for key, folder in (inputs or {}).items()}
        return Job(name, json.dumps(config), found, out, scratch, report)

    return make


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Job]:
    """Makes jobs in a fresh folder."""
    return jobs_below(tmp_path)


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    """A benchmark of one problem."""
    path = tmp_path / "problems.jsonl"
    path.write_text(json.dumps(PROBLEM) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A folder of twelve different files."""
    return write_sources(tmp_path / "sources")


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 300 tokens with `<|end|>` as end of sequence."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    end = {"eos_token": "<|end|>", "pad_token": "<|end|>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **end)


def save_llama(
    folder: Path, tokenizer: PreTrainedTokenizerFast, *, seed: int, layers: int, vocab_size: int = 300
) -> Path:
    """A random Llama of hidden size 32 in `folder`, with its tokenizer."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.2,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast) -> Path:
    """A random teacher of four layers."""
    return save_llama(tmp_path_factory.mktemp("teacher"), tiny_tokenizer, seed=1, layers=4)


@pytest.fixture(scope="session")
def init_evidence(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast) -> Path:
    """Evidence of an init experiment: another random model, of two layers, in `model/`."""
    root = tmp_path_factory.mktemp("init")
    save_llama(root / "model", tiny_tokenizer, seed=2, layers=2)
    return root


@pytest.fixture(scope="session")
def corpus_evidence(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast) -> Path:
    """Evidence of a corpus experiment: 40 training and 12 held-out windows of 16 tokens of real text."""
    root = tmp_path_factory.mktemp("corpus")
    ids = tiny_tokenizer.backend_tokenizer.encode("".join(TEXT)).ids
    windows = torch.tensor(ids[: 52 * SEQ_LEN], dtype=torch.int32).reshape(52, SEQ_LEN)
    save_file({"tokens": windows[:40].contiguous()}, root / "train.safetensors")
    save_file({"tokens": windows[40:].contiguous()}, root / "heldout.safetensors")
    manifest = {
        "tokenizer_sha256": tokenizer_sha256(tiny_tokenizer),
        "train_sha256": "a",
        "heldout_sha256": "b",
    }
    (root / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def wide_init_evidence(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast) -> Path:
    """An init that predicts 20 tokens more than the teacher."""
    root = tmp_path_factory.mktemp("wide")
    save_llama(root / "model", tiny_tokenizer, seed=2, layers=2, vocab_size=320)
    return root


@pytest.fixture(scope="session")
def shards_folder(tmp_path_factory: pytest.TempPathFactory, teacher_folder: Path) -> Path:
    """Token shards of 200 short documents, a tenth of them held out."""
    root = tmp_path_factory.mktemp("shards")
    source = root / "rows.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXT), encoding="utf-8")
    tokenize(Tokenize([source], teacher_folder, root / "shards", heldout_share=0.1, shard_tokens=500))
    return root / "shards"


@pytest.fixture(scope="session")
def start_below(teacher_folder: Path, init_evidence: Path, corpus_evidence: Path) -> Callable[..., Job]:
    """Makes a training job below a folder from changes to SCHEDULED; `teacher=None` leaves the teacher out."""

    def make(
        root: Path,
        name: str = "student",
        *,
        teacher: Path | None = teacher_folder,
        init: Path = init_evidence,
        corpus: Path = corpus_evidence,
        budget_hours: float | None = None,
        report: ProgressCallback = lambda *_: None,
        **changes: object,
    ) -> Job:
        training = {**SCHEDULED, **changes}
        config = run_config(training, teacher=teacher, init=init, corpus=corpus, budget_hours=budget_hours)
        return jobs_below(root)(name, config, {}, report)

    return make


@pytest.fixture
def start(start_below: Callable[..., Job], tmp_path: Path) -> Callable[..., Job]:
    """Makes training jobs in a fresh folder."""
    return partial(start_below, tmp_path)


@pytest.fixture(scope="session")
def straight(start_below: Callable[..., Job], tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A finished run of SCHEDULED that nothing interrupted: look, do not touch."""
    job = start_below(tmp_path_factory.mktemp("straight"))
    with one_thread():
        train(job)
    return job


@pytest.fixture(scope="session")
def distill_config(teacher_folder: Path, init_evidence: Path, shards_folder: Path) -> Callable[..., str]:
    """The text of a configuration of `refute distill`, twelve steps unless `changes` of its training say otherwise."""

    def text(lines: str = "", **changes: object) -> str:
        training = {**BASE, "eval_windows": 4, **changes}
        return (
            "training:\n"
            + "".join(f"  {key}: {json.dumps(value)}\n" for key, value in training.items())
            + f"teacher:\n  model: {{format: hf, path: teacher}}\n  path: {json.dumps(str(teacher_folder))}\n"
            + f"init: {json.dumps(str(init_evidence / 'model'))}\ncorpus: {json.dumps(str(shards_folder))}\n"
            + f"threads: 1\n{lines}"
        )

    return text


@pytest.fixture
def write_config(tmp_path: Path, distill_config: Callable[..., str]) -> Callable[..., Path]:
    """Writes a configuration of `refute distill` (see `distill_config`)."""

    def write(name: str = "config", lines: str = "", **changes: object) -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text(distill_config(lines, **changes), encoding="utf-8")
        return path

    return write
