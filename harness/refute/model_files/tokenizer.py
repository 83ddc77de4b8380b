"""Opens the tokenizer of a GGUF file or of a Hugging Face folder, and refuses one that was made up."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from refute.errors import MissingInputsError
from refute.model_files.text_splitting import split_text_as_stated


def read_tokenizer(path: Path, *, gguf: bool) -> PreTrainedTokenizerBase:
    """The tokenizer at `path`, from this machine only.

    Raises MissingInputsError where there is none that can be read, ExperimentError where a GGUF file splits text in an
    unknown way.
    """
    if not path.exists():
        raise MissingInputsError(f"tokenizer: {path} does not exist", hint="check the model's path in the release")
    place, file = (path.parent, path.name) if gguf else (path, None)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(place, gguf_file=file, local_files_only=True)
    # An untrusted file: what transformers raises for a damaged one depends on where the damage is.
    except Exception as error:
        raise MissingInputsError(
            f"{path} holds no usable tokenizer: {type(error).__name__}: {error}",
            hint="expected tokenizer.json beside config.json, or one complete GGUF file",
        ) from error
    if not gguf:
        _require_vocabulary(path, tokenizer)
    elif isinstance(tokenizer, PreTrainedTokenizerFast):
        split_text_as_stated(tokenizer.backend_tokenizer, path)
    return tokenizer


def _require_vocabulary(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Without files transformers makes up an empty vocabulary of the family: Qwen2's, GPT-2's, GPT-NeoX's, Gemma's."""
    names = [name for kind, name in tokenizer.vocab_files_names.items() if kind != "tokenizer_file"]
    if (folder / "tokenizer.json").is_file() or (names and all((folder / name).is_file() for name in names)):
        return
    wanted = " or ".join(["tokenizer.json", *([", ".join(names)] if names else [])])
    raise MissingInputsError(
        f"{folder} holds no usable tokenizer: no vocabulary, expected {wanted}",
        hint="copy the tokenizer's files into the model's folder",
    )
