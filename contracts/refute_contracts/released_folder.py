"""The folder that is released holds the model that was trained, nothing else, and nothing that runs when opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from refute.check.contracts.rewrite import Rewrite
from refute.engines.distill.threads import one_thread
from refute_contracts.scratch import scratch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from refute.check.contracts.tolerance import Tolerance

_SAVE, _COPY = "refute.engines.model.folder:save_model", "refute.engines.model.folder:copy_files"
# What lies in folders of models besides what a student needs: other formats, among them pickles, and the hub's files.
_FOREIGN = (
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "training_args.bin",
    "optimizer.pt",
    "modeling_own.py",
    "README.md",
    ".gitattributes",
)
_SMALL = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "merges.txt", "tokenizer.model")
_WRITTEN_BY_SAVING = {"_name_or_path", "architectures", "dtype", "transformers_version"}
SHAPES = st.fixed_dictionaries(
    {
        "hidden_size": st.sampled_from([8, 16]),
        "num_hidden_layers": st.integers(1, 2),
        "vocab_size": st.integers(5, 40),
        "tie_word_embeddings": st.booleans(),
    }
)


def build(kind: str, shape: dict[str, Any], seed: int) -> PreTrainedModel:
    """A random llama or qwen2 of a few hundred parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    config: dict[str, Any] = {"intermediate_size": 12, "max_position_embeddings": 16, **heads, **shape}
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**config)).eval()
    return Qwen2ForCausalLM(Qwen2Config(**config)).eval()


def lay_out_init(folder: Path, names: list[str]) -> dict[str, bytes]:
    """An init's folder, sharded and with whatever else people keep there; what each file holds."""
    folder.mkdir()
    files = {name: f"the init's {name}".encode() for name in (*names, "model-00001-of-00002.safetensors")}
    files["model.safetensors.index.json"] = json.dumps(
        {"weight_map": {"lm_head.weight": "model-00001-of-00002.safetensors"}}
    ).encode()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return files


@given(kind=st.sampled_from(["llama", "qwen2"]), shape=SHAPES, seed=st.integers(0, 999))
def released_weights_are_the_trained_ones(kind: str, shape: dict[str, Any], seed: int, within: Tolerance) -> None:
    """Read back from the disk alone: every tensor, its precision and the configuration."""
    import torch

    from refute.engines.model.folder import load_model, save_model

    with one_thread(), torch.random.fork_rng(devices=[]), scratch() as root:
        init = Path(root) / "init"
        lay_out_init(init, ["tokenizer.json"])
        model = build(kind, shape, seed)
        expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        save_model(model, Path(root) / "model", tokenizer_from=init)
        back = load_model(Path(root) / "model", device="cpu")
        found = back.state_dict()
        assert list(found) == list(expected)
        assert {tensor.dtype for tensor in found.values()} == {torch.float32}
        for name, tensor in expected.items():
            assert within.admits(found[name].flatten().tolist(), tensor.flatten().tolist())
        ours, theirs = (each.config.to_dict() for each in (back, model))
        assert {key for key, value in ours.items() if theirs.get(key) != value} <= _WRITTEN_BY_SAVING


@given(
    small=st.lists(st.sampled_from(_SMALL), min_size=1, unique=True),
    foreign=st.lists(st.sampled_from(_FOREIGN), unique=True),
)
def released_files_are_named_by_kind(small: list[str], foreign: list[str]) -> None:
    """Safetensors, JSON and plain text; the init's small files to the byte, and neither its weights nor its code."""
    import torch

    from refute.engines.model.folder import load_model, save_model

    with one_thread(), torch.random.fork_rng(devices=[]), scratch() as root:
        init, out = Path(root) / "init", Path(root) / "model"
        files = lay_out_init(init, [*small, *foreign])
        shape = {"hidden_size": 8, "num_hidden_layers": 1, "vocab_size": 7, "tie_word_embeddings": True}
        save_model(build("llama", shape, 1), out, tokenizer_from=init)
        made = {"config.json", "generation_config.json", "model.safetensors"}
        assert {path.name for path in out.iterdir()} == {*made, *small}
        assert all((out / name).read_bytes() == files[name] for name in small)
        load_model(out, device="cpu")


halved = Rewrite(_SAVE, {"stored.to(dtype)": "stored.bfloat16()"})
another_model_saved = Rewrite(_SAVE, {"stored.to(dtype)": "type(model)(model.config)"})
tokenizer_left_behind = Rewrite(_SAVE, {"copy_files(tokenizer_from, folder, _KEPT)": "pass"})
everything_copied = Rewrite(_COPY, {"for pattern in patterns": "for pattern in ('*',)"})
stale_index_copied = Rewrite(_COPY, {" and not is_stale_index": ""})
