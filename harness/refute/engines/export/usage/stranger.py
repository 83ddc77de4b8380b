"""A stranger's program: loads a model with one engine, says some tokens greedily, or does as a card says; no network.

Run by path in an interpreter of its own, `stranger.py REQUEST ANSWER`, so it imports nothing of refute but where refute
is the engine. The request holds `engine`, `path`, `prompt` (ids, or a text for the engine's own tokenizer), `tokens`
(how many to say), `ends` (ids that end a text; null: those that the folder states), `threads` and `hosts` ([name,
port]); that of a card its `snippet`, and a `path` below which the model lies. The answer holds `ids`, `text`,
`versions`, the hosts that could be `reached`, and `failed`.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import io
import json
import os
import socket
import struct
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # CLONE_NEWUSER and CLONE_NEWNET of unshare(2)
_SET_FLAGS, _UP = 0x8914, 0x1  # SIOCSIFFLAGS and IFF_UP of netdevice(7)
_PATIENCE_S = 2.0


def leave_the_network() -> None:
    """Into a network of its own where the kernel lets anybody make one: nothing in it but the loopback device.

    Whether that worked is not asked: `reachable` tries.
    """
    if ctypes.CDLL(None).unshare(_NEW_USER | _NEW_NETWORK) == 0:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
            fcntl.ioctl(device, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))


def reachable(hosts: list[tuple[str, int]]) -> list[str]:
    """Those of `hosts` that take a connection."""
    found = []
    for name, port in hosts:
        try:
            with socket.create_connection((name, port), timeout=_PATIENCE_S):
                found.append(name)
        except OSError:
            continue
    return found


def in_transformers(request: dict[str, Any]) -> tuple[list[int], str, list[str]]:
    """As model cards say it: AutoTokenizer, AutoModelForCausalLM, generate."""
    import torch
    import transformers

    torch.set_num_threads(request["threads"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(request["path"])
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(request["path"], dtype=torch.float32)
    prompt = _ids(request["prompt"], tokenizer)
    given = torch.tensor([prompt])
    said = model.generate(
        given, attention_mask=torch.ones_like(given), max_new_tokens=request["tokens"], do_sample=False
    )
    ids = said[0][len(prompt) :].tolist()
    return ids, tokenizer.decode(ids), ["transformers", "tokenizers", "torch"]


def in_llama_cpp(request: dict[str, Any]) -> tuple[list[int], str, list[str]]:
    """llama.cpp's server, which listens on the loopback device."""
    from refute.engines.model.server.llama_cpp import serve_in_llama_cpp

    room = len(request["prompt"]) + request["tokens"] + 8  # of a text, too: no token is shorter than a byte
    with serve_in_llama_cpp(Path(request["path"]), context=room, threads=request["threads"]) as server:
        asked = {"prompt": request["prompt"], "n_predict": request["tokens"], "temperature": 0.0, "return_tokens": True}
        answer = server.ask("completion", asked)
    return answer["tokens"], answer["content"], ["xllamacpp"]


def in_refute(request: dict[str, Any]) -> tuple[list[int], str, list[str]]:
    """The independent forward, in float64."""
    import numpy as np

    from refute.engines.model.forward.numpy_forward import Reference, open_weights
    from refute.engines.model.tokenizer import read_tokenizer

    path = Path(request["path"])
    reference = Reference(open_weights(path))
    tokenizer: Any = read_tokenizer(path, gguf=False)
    prompt, ends = _ids(request["prompt"], tokenizer), request["ends"]
    if ends is None:
        from refute.engines.export.gguf.vocabulary import end_ids

        ends = end_ids(tokenizer, path)
    ids = list(prompt)
    for _ in range(request["tokens"]):
        ids.append(int(reference.logits(np.array(ids))[-1].argmax()))
        if ids[-1] in ends:
            break
    said = ids[len(prompt) :]
    return said, str(tokenizer.decode(said)), ["refute", "numpy"]


def _ids(prompt: list[int] | str, tokenizer: Any) -> list[int]:
    """What the model is given: a text as its tokenizer reads it, with whatever that puts before it."""
    return list(tokenizer(prompt)["input_ids"]) if isinstance(prompt, str) else list(prompt)


def as_the_card_says(request: dict[str, Any]) -> tuple[list[int], str, list[str]]:
    """The card's own program, in a folder where the name of its model is that of a folder."""
    os.chdir(request["path"])
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(request["snippet"], "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102  # it is what is tried
    return [], said.getvalue(), ["transformers", "tokenizers", "torch"]


ENGINES = {"transformers": in_transformers, "llama.cpp": in_llama_cpp, "refute": in_refute, "card": as_the_card_says}


def main(request_file: str, answer_file: str) -> None:
    """Answer one request; an engine that fails is an answer, too."""
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    leave_the_network()  # before anything starts a thread, which could not come along
    answer: dict[str, Any] = {"reached": reachable([(name, port) for name, port in request["hosts"]])}
    try:
        ids, text, packages = ENGINES[request["engine"]](request)
        versions = {name: version(name) for name in packages}
        answer |= {"ids": ids, "text": text, "versions": versions, "failed": None}
    except Exception as error:  # noqa: BLE001  # whatever an engine raises for a model that it cannot run is the answer
        answer |= {"ids": [], "text": "", "versions": {}, "failed": f"{type(error).__name__}: {error}"[:600]}
    Path(answer_file).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
