"""python -m sabotage.world FOLDER: a teacher that knows its subject, a corpus, problems and a release, all small.

Everything is real, down to the sandbox that executes answers; only the subject is small: one-line functions whose
docstring says what they compute. A Llama of 0.2 million parameters learns them in seconds, so every bar of the
shipped specification can be cleared within half a minute, and a sabotage has something to destroy.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WORDS = {
    "Double it.": "n * 2",
    "Negate it.": "-n",
    "The next one.": "n + 1",
    "Square it.": "n * n",
    "The one before.": "n - 1",
    "Add ten.": "n + 10",
}
# Words that no document holds: nobody can know what they ask for, so no student solves everything.
UNHEARD_OF = {"Halve it.": "n / 2", "Cube it.": "n ** 3"}
PROBLEMS = 164
LAYERS, HIDDEN = 4, 48
SEQ_LEN = 32
_END, _FEW = "<|end|>", 5


def build_world(folder: Path) -> Path:
    """Writes teacher/, corpus/, problems.jsonl and release.yaml; returns the release file. Deterministic.

    Beside them for sabotages of inputs: teacher-copy/ (the same bytes), teacher-again/ (the same model, stored anew),
    other-tokens/ (a smaller model whose tokenizer has two tokens swapped), corpus-tainted/ (with benchmark text),
    corpus-of-few/ (such documents in five files).
    """
    documents = list(_documents(600))
    for number, text in enumerate(documents):
        path = folder / "corpus" / f"d{number:03}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    problems = "".join(json.dumps(problem) + "\n" for problem in _problems())
    (folder / "corpus-of-few").mkdir()
    # Functions that are one word longer might be those of a problem, with the one after them.
    shorter = [text for text in documents if "The " not in text]
    for number in range(_FEW):
        text = "\n\n".join(shorter[number::_FEW])
        (folder / "corpus-of-few" / f"d{number}.py").write_text(text, encoding="utf-8")
    shutil.copytree(folder / "corpus", folder / "corpus-tainted")
    for number, problem in enumerate(_problems()):
        text = problem["prompt"] + problem["canonical_solution"] + problem["test"]
        (folder / "corpus-tainted" / f"solved{number:03}.py").write_text(text, encoding="utf-8")
    (folder / "problems.jsonl").write_text(problems, encoding="utf-8")
    _save_models(folder, documents)
    release = folder / "release.yaml"
    release.write_text(json.dumps(_release(problems), indent=1), encoding="utf-8")  # JSON is YAML
    return release


def _documents(count: int) -> Iterator[str]:
    chance = random.Random(17)  # noqa: S311  # reproducible, and no secret
    for _ in range(count):
        functions = []
        for _ in range(4):
            word = chance.choice(sorted(WORDS))
            functions.append(f'def {_name(chance)}(n):\n    """{word}"""\n    return {WORDS[word]}\n')
        yield "\n\n".join(functions)


def _name(chance: random.Random) -> str:
    return "".join(chance.choice("abcdefgh") for _ in range(3))


def _problems() -> Iterator[dict[str, str]]:
    chance = random.Random(18)  # noqa: S311
    bodies = WORDS | UNHEARD_OF
    for number in range(PROBLEMS):
        word, name = chance.choice(sorted(bodies)), _name(chance)
        checks = "".join(f"    assert candidate({n}) == (lambda n: {bodies[word]})({n})\n" for n in (3, 7, -4))
        yield {
            "task_id": f"Tiny/{number}",
            "prompt": f'def {name}(n):\n    """{word}"""\n',
            "entry_point": name,
            "canonical_solution": f"    return {bodies[word]}\n",
            "test": f"\n\ndef check(candidate):\n{checks}",
        }


def _release(problems: str) -> dict[str, Any]:
    return {
        "release": "small-world",
        "title": "A teacher of one-line functions into a depth-pruned student",
        "run_class": "full",
        "operator": "tests",
        "subject": "student",
        "distillation": {
            "device": "cpu",
            "threads": 1,
            "teacher": {"format": "hf", "path": "teacher"},
            "init": {"method": "depth_prune", "keep_layers": 2, "probe_windows": 2},
            "corpus": {
                "kind": "files",
                "path": "corpus",
                "train_tokens": 2048,
                "heldout_tokens": 1120,
            },
            "training": {
                "steps": 100,
                "batch_size": 4,
                "micro_batch_size": 2,
                "seq_len": SEQ_LEN,
                "learning_rate": 5e-3,
                "min_learning_rate": 5e-4,
                "warmup_steps": 5,
                "weight_decay": 0.01,
                "ce_weight": 0.3,
                "kd_weight": 0.7,
                "temperature": 2.0,
                "seed": 17,
                "eval_every": 20,
                "eval_windows": 32,
                "checkpoint_every": 50,
                "document_mask": False,
            },
            "humaneval": {
                "problems": {"path": "problems.jsonl", "sha256": hashlib.sha256(problems.encode()).hexdigest()},
                "prompt": "completion",
                "null_limit": 24,
                "calibration_limit": 30,
                "max_new_tokens": 16,
                "batch_size": 41,
                "timeout_s": 3.0,
            },
        },
    }


def _save_models(folder: Path, documents: list[str]) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.set_num_threads(1)
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=[_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(documents, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token=_END, pad_token=_END)
    ids = [token for text in documents for token in [*tokenizer.encode(text), tokenizer.eos_token_id]]
    torch.manual_seed(17)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=HIDDEN,
        intermediate_size=96,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    length = 48
    windows = torch.tensor(ids[: len(ids) // length * length]).reshape(-1, length)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.0)
    order = torch.Generator().manual_seed(17)
    steps, loss = 260, torch.zeros(())
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * min(1.0, (step + 1) / 20, (steps - step) / 100)
        batch = windows[torch.randint(len(windows), (16,), generator=order)]
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    sys.stdout.write(f"teacher: {loss.item():.3f} nat/token, {sum(p.numel() for p in model.parameters())} parameters\n")
    model.save_pretrained(folder / "teacher")
    tokenizer.save_pretrained(folder / "teacher")
    shutil.copytree(folder / "teacher", folder / "teacher-copy")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.0 + 1e-6)
    model.save_pretrained(folder / "teacher-again")
    tokenizer.save_pretrained(folder / "teacher-again")
    config.num_hidden_layers = 2
    LlamaForCausalLM(config).save_pretrained(folder / "other-tokens")
    tokenizer.save_pretrained(folder / "other-tokens")
    _swap_tokens(folder / "other-tokens" / "tokenizer.json", "a", "b")


def _swap_tokens(path: Path, one: str, other: str) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    ids = content["model"]["vocab"]
    ids[one], ids[other] = ids[other], ids[one]
    path.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    build_world(Path(sys.argv[1]))
