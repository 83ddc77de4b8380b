"""Faults of released folders, as somebody published each: what they do to a sound one, and the rule about it."""

from __future__ import annotations

import json
import pickle  # noqa: TID251  # what must be refused has to be made
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from refute.engines.model.tools.lint.lint import UNREADABLE
from released_model import edit

Fault = Callable[[Path], object]
WEIGHTS, CONFIG, GENERATION, TOKENIZER = (
    "model.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
)


def put(name: str, content: bytes, folder: Path) -> None:
    """Write a file."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def change_tensors(change: Callable[[dict[str, Any]], object], folder: Path) -> None:
    """Rewrite the weights after `change`."""
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


def zipped(folder: Path) -> None:
    """What torch.save writes, under another name."""
    with zipfile.ZipFile(folder / "merges.txt", "w") as archive:
        archive.writestr("archive/data.pkl", b"")


def sharded(folder: Path, *, named: str = "model-00001-of-00001.safetensors", more: str | None = None) -> None:
    """The weights as one shard; the index names `named` and, besides what is there, the tensor `more`."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).rename(folder / "model-00001-of-00001.safetensors")
    index = {"weight_map": dict.fromkeys([*tensors, *([more] if more else [])], named)}
    put("model.safetensors.index.json", json.dumps(index).encode(), folder)


def stray(folder: Path) -> None:
    """A second file of weights beside the shards."""
    save_file({"a": np.zeros(2, np.float32)}, folder / "extra.safetensors")


def old_pickle() -> bytes:
    """One without a magic, which runs a command."""
    return b"cos\nsystem\n(S'true'\ntR."


BEYOND = {"id": 300, "content": "<x>"}
ROW, LAYER = "model.embed_tokens.weight", "model.layers.1.mlp.up_proj.weight"
FAULTS: dict[str, tuple[str, Fault]] = {
    "training arguments": ("file/runs-code", partial(put, "training_args.bin", pickle.dumps(Path("x")))),
    "a pickle named safetensors": ("file/runs-code", partial(put, WEIGHTS, pickle.dumps({"a": 1}))),
    "a pickle without a magic": ("file/runs-code", partial(put, "vocab.txt", old_pickle())),
    "a zip under another name": ("file/runs-code", zipped),
    "a pointer": ("file/lfs-pointer", partial(put, WEIGHTS, b"version https://git-lfs.github.com/spec/v1\noid x\n")),
    "an empty file": ("file/empty", partial(put, "merges.txt", b"")),
    "a secret": ("file/unexpected", partial(put, ".env", b"TOKEN=x")),
    "a cache": ("file/unexpected", partial(put, ".cache/other/x", b"x")),
    "a letter that looks like another": ("file/unexpected", partial(put, "mod\u0435l.gguf", b"GGUF")),
    "no tokenizer": ("file/missing", lambda folder: (folder / "tokenizer.json").unlink()),
    "a second format": ("file/second-weights", partial(put, "flax_model.msgpack", b"\x00\x01")),
    "a mode": ("file/mode", lambda folder: (folder / WEIGHTS).chmod(0o600)),
    "a missing shard": ("file/index", partial(sharded, named="model-00002-of-00002.safetensors")),
    "an index entry without tensor": ("file/index", partial(sharded, more="absent.weight")),
    "stray weights": ("file/index", stray),
    "a cut file": (UNREADABLE, lambda folder: put(WEIGHTS, (folder / WEIGHTS).read_bytes()[:-9], folder)),
    "one layer too many": ("config/shapes", partial(edit, name=CONFIG, num_hidden_layers=5)),
    "another width": ("config/shapes", partial(edit, name=CONFIG, hidden_size=64)),
    "other heads": ("config/shapes", partial(edit, name=CONFIG, num_key_value_heads=4)),
    "no head": ("config/tied-head", partial(edit, name=CONFIG, tie_word_embeddings=False)),
    "another head": (
        "config/tied-head",
        partial(change_tensors, lambda tensors: tensors.update({"lm_head.weight": tensors[ROW] + 1})),
    ),
    "another dtype": ("config/dtype", partial(edit, name=CONFIG, dtype="bfloat16", torch_dtype="bfloat16")),
    "one dtype": ("config/dtype-spelling", partial(edit, name=CONFIG, torch_dtype=None)),
    "today's student": ("config/rope-spelling", partial(edit, name=CONFIG, rope_theta=None)),
    "scaling in one place": (
        "config/rope-spelling",
        lambda folder: edit(folder, CONFIG, lambda c: c["rope_parameters"].update(rope_type="linear", factor=2.0)),
    ),
    "a quantisation of nothing": ("config/quantization", partial(edit, name=CONFIG, quantization_config={"bits": 4})),
    "no architecture": ("config/architecture", partial(edit, name=CONFIG, architectures=[])),
    "nobody's architecture": ("config/architecture", partial(edit, name=CONFIG, model_type="nobody")),
    "code": ("config/remote-code", partial(edit, name=CONFIG, auto_map={"AutoModel": "m.M"})),
    "settings without sampling": ("config/sampling", partial(edit, name=GENERATION, do_sample=False, temperature=0.6)),
    "a local key": ("config/local-keys", partial(edit, name=TOKENIZER, is_local=True)),
    "a long float": ("config/long-floats", partial(edit, name=CONFIG, rms_norm_eps=9.999999747378752e-06)),
    "a class of one": (
        "tokenizer/class",
        partial(edit, name=TOKENIZER, tokenizer_class="TokenizersBackend"),
    ),
    "inputs that no causal model takes": ("tokenizer/class", partial(edit, name=TOKENIZER, model_input_names=None)),
    "no length": ("tokenizer/length", partial(edit, name=TOKENIZER, model_max_length=int(1e30))),
    "a template in one place": ("tokenizer/template-places", partial(edit, name=TOKENIZER, chat_template=None)),
    "two templates": ("tokenizer/template-places", partial(edit, name=TOKENIZER, chat_template="{{ messages }}")),
    "a template that reaches out": (
        "tokenizer/template-code",
        partial(put, "chat_template.jinja", b"{{ ''.__class__ }}"),
    ),
    "a foreign name": (
        "tokenizer/identity",
        partial(put, "chat_template.jinja", b"You are a model named Other, trained by Somebody<|end|>"),
    ),
    "another end": ("tokenizer/end", partial(edit, name=GENERATION, eos_token_id=7)),
    "more tokens than rows": (
        "tokenizer/vocabulary",
        lambda folder: edit(
            folder, "tokenizer.json", lambda c: c["added_tokens"].append({"id": 300, "content": "<x>"})
        ),
    ),
    "a limit in the tokenizer": (
        "tokenizer/trimmed",
        partial(edit, name="tokenizer.json", truncation={"max_length": 512, "strategy": "LongestFirst", "stride": 0}),
    ),
    "an older vocabulary": ("tokenizer/older-files", partial(put, "vocab.json", b'{"a": 0}')),
    "no card": ("card/missing", lambda folder: (folder / "README.md").unlink()),
    "a placeholder": ("card/placeholder", partial(put, "README.md", b"# x\n[More Information Needed]\n")),
    "no licence": ("card/license", partial(put, "README.md", b"# x\n")),
    "a licence that says nothing": ("card/license", partial(put, "README.md", b"---\nlicense: unknown\n---\n")),
    "NaN": ("weights/numbers", partial(change_tensors, lambda tensors: tensors[LAYER].__setitem__((3, 5), np.nan))),
    "infinity": (
        "weights/numbers",
        partial(change_tensors, lambda tensors: tensors[LAYER].__setitem__((3, 5), np.inf)),
    ),
    "a row of zeros": ("weights/numbers", partial(change_tensors, lambda tensors: tensors[LAYER].__setitem__(3, 0.0))),
    "a constant": ("weights/numbers", partial(change_tensors, lambda tensors: tensors[LAYER].fill(0.1))),
    "a scale": ("weights/numbers", partial(change_tensors, lambda tensors: tensors[LAYER].__imul__(1e6))),
    "whole numbers": (
        "weights/unread",
        partial(change_tensors, lambda tensors: tensors.update({LAYER: tensors[LAYER].astype(np.int8)})),
    ),
    "a layer twice": (
        "weights/numbers",
        partial(
            change_tensors,
            lambda tensors: tensors.update(
                {name: tensors[name.replace("layers.1", "layers.0")] for name in tensors if "layers.1." in name}
            ),
        ),
    ),
}
