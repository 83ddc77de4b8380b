"""A whole KD step beside its bare parts, and beside TRL's GKD trainer (lmbda = 0) where TRL is installed.

python benchmarks/kd_step.py [--vocabulary 49152] [--hidden 576] [--layers 6] [--teacher-layers 30] [--tokens 128]
"""

from __future__ import annotations

import argparse
import atexit
import importlib.util
import shutil
import tempfile
from collections.abc import Callable

import torch
from measure import compare, machine, table
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from refute.engines.distill.data.packing import pack
from refute.engines.distill.teacher.loaded import Teacher
from refute.engines.distill.training.optimizer import build_optimizer
from refute.engines.distill.training.parallel import clip_gradients
from refute.engines.distill.training.step import StepModule
from refute.spec.experiments.training import Training


def make(layers: int, chosen: argparse.Namespace) -> LlamaForCausalLM:
    """A random Llama of SmolLM2's proportions."""
    heads = max(1, chosen.hidden // 64)
    config = LlamaConfig(
        vocab_size=chosen.vocabulary,
        hidden_size=chosen.hidden,
        intermediate_size=chosen.hidden * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 3 if heads % 3 == 0 else heads,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).to(chosen.device)


def bare(teacher: LlamaForCausalLM, student: LlamaForCausalLM, ids: Tensor, training: Training) -> Callable[[], None]:
    """Teacher forward, student forward and backward of plain cross entropy, clipping, AdamW."""
    optimizer = build_optimizer(student, training)

    def step() -> None:
        with torch.no_grad():
            teacher(input_ids=ids, use_cache=False)
        student(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def ours(teacher: LlamaForCausalLM, student: LlamaForCausalLM, ids: Tensor, training: Training) -> Callable[[], None]:
    """What refute's trainer does with one batch."""
    provider = Teacher(teacher, PreTrainedTokenizerFast.__new__(PreTrainedTokenizerFast), 0, plain_head=True)
    module, batch = StepModule(student, training), pack(ids, None)
    optimizer = build_optimizer(module, training)

    def step() -> None:
        module.train()
        total, *_ = module(batch, provider.answer(batch), batch.supervised)
        total.backward()
        clip_gradients(module, training.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def trl(teacher: LlamaForCausalLM, student: LlamaForCausalLM, ids: Tensor, training: Training) -> Callable[[], None]:
    """TRL's GKD trainer on the same batch: its own training step, then clipping and the same AdamW."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, "a")), pad_token="a")  # noqa: S106  # a token, no password
    folder = tempfile.mkdtemp(prefix="trl-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    use_cpu = ids.device.type == "cpu"
    config = GKDConfig(
        output_dir=folder,
        lmbda=0.0,
        beta=0.0,
        temperature=training.temperature,
        report_to=[],
        use_cpu=use_cpu,
        bf16=False,
        gradient_checkpointing=False,
        per_device_train_batch_size=len(ids),
    )
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids, "prompts": ids[:, :1]}
    trainer = GKDTrainer(
        model=student,
        teacher_model=teacher,
        args=config,
        processing_class=words,
        train_dataset=Dataset.from_dict({"input_ids": ids.tolist()}),
        data_collator=lambda rows: rows,
    )
    optimizer = build_optimizer(student, training)
    supervised = torch.tensor(ids.shape[0] * (ids.shape[1] - 1), device=ids.device)

    def step() -> None:
        trainer.training_step(trainer.model, dict(batch), supervised)
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def arguments(description: str | None, *, rounds: int) -> argparse.Namespace:
    """What both scripts that make steps can be told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--vocabulary", type=int, default=49_152)
    parser.add_argument("--hidden", type=int, default=576)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--teacher-layers", type=int, default=30)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--only", help="run this piece alone and print its memory")
    return parser.parse_args()


def training_of(chosen: argparse.Namespace) -> Training:
    """One batch a step, by the epic's mixture."""
    return Training(
        steps=10,
        batch_size=chosen.batch,
        micro_batch_size=chosen.batch,
        seq_len=chosen.tokens,
        learning_rate=1e-4,
        min_learning_rate=0.0,
        ce_weight=0.3,
        kd_weight=0.7,
        temperature=2.0,
        eval_every=1,
        eval_windows=1,
        checkpoint_every=1,
    )


def main() -> None:
    """Print one table."""
    chosen = arguments(__doc__, rounds=5)
    torch.manual_seed(0)
    ids = torch.randint(0, chosen.vocabulary, (chosen.batch, chosen.tokens), device=chosen.device)
    training = training_of(chosen)
    teacher = make(chosen.teacher_layers, chosen).eval().requires_grad_(requires_grad=False)
    pieces = {"bare parts": bare, "refute": ours}
    if importlib.util.find_spec("trl") is not None:
        pieces["TRL GKD"] = trl
    wanted = {chosen.only: pieces[chosen.only]} if chosen.only else pieces
    steps = {name: build(teacher, make(chosen.layers, chosen), ids, training) for name, build in wanted.items()}
    figures = compare(steps, rounds=chosen.rounds, device=chosen.device, only=chosen.only)
    shape = f"{chosen.batch} x {chosen.tokens} tokens, V = {chosen.vocabulary}, H = {chosen.hidden}"
    print(table(f"KD step, {shape}, {chosen.teacher_layers} and {chosen.layers} layers", figures, "bare parts"))
    print(machine(chosen.device))


if __name__ == "__main__":
    main()
