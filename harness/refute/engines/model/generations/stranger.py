"""A stranger's program: opens model folders with whatever transformers it finds, and says what it saw.

Run by path in an interpreter of either generation, so it imports nothing of refute: `stranger.py REQUEST ANSWER`. The
request holds `folders` (by name), `texts`, `conversations`, `sequences` of ids, how many `answers` to give to each, and
how many last `positions` of their logits to keep. The answer holds `version` and, of each folder, `error` or `ids`,
`rendered`, `classes` and `unrepeated`; the logits (sequences, positions, V), float32, lie beside it in NAME.npy.

Each sequence is answered `answers` times, and what lies there is the median. One answer of six, the first of its
process, once was off by 3.5e-3 of a logit and never again: a machine's slip is not the release's. How many answers were
not the median to the last bit is `unrepeated`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers


def _look(name: str, folder: str, request: dict[str, Any], out: Path) -> dict[str, Any]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
    # All that it makes of a text: what a model does not take, such as token_type_ids, stops `generate(**inputs)`.
    ids = [dict(tokenizer(text, add_special_tokens=False)) for text in request["texts"]]
    rendered = [_render(tokenizer, each) for each in request["conversations"]]
    answers = np.stack(
        [
            [_answer(model, each, request["positions"]) for each in request["sequences"]]
            for _ in range(request["answers"])
        ]
    )
    median = np.median(answers, axis=0)
    np.save(out.with_name(f"{name}.npy"), median)
    unrepeated = int((answers != median).any(axis=(-2, -1)).sum())
    classes = [type(tokenizer).__name__, type(model).__name__]
    return {"error": None, "ids": ids, "rendered": rendered, "classes": classes, "unrepeated": unrepeated}


def _answer(model: Any, sequence: list[int], positions: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([sequence]), use_cache=False).logits[0, -positions:]
    answer: np.ndarray[Any, np.dtype[np.float32]] = logits.float().numpy()
    return answer


def _render(tokenizer: Any, conversation: list[dict[str, str]]) -> str | None:
    if not tokenizer.chat_template:
        return None
    return str(tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True))


def main(request_file: str, answer_file: str) -> None:
    """Look at every folder of the request; one that cannot be opened is an answer, too."""
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    torch.set_num_threads(int(request["threads"]))
    out, found = Path(answer_file), {}
    for name, folder in request["folders"].items():
        try:
            found[name] = _look(name, folder, request, out)
        except Exception as error:  # noqa: BLE001  # what a library raises for a folder that it cannot open is the answer
            found[name] = {"error": f"{type(error).__name__}: {error}"[:600]}
    answer = {"version": transformers.__version__, "folders": found}
    out.write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
