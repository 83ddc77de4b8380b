"""A teacher behind a server: what a cache holds of it is what the same teacher says here, by either API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from refute.engines.distill.data.packing import Batch, pack
from refute.engines.distill.teacher.loaded import Teacher, load_teacher
from refute.engines.distill.teacher.served import ServedSource, open_served
from refute.engines.distill.teacher.topk_cache import TopKCache, prepare
from refute.engines.distill.teacher.topk_source import LoadedSource
from refute.engines.export.gguf.file import export_gguf, read_source
from refute.engines.model.server.client import Server
from refute.engines.model.server.llama_cpp import serve_in_llama_cpp
from refute.engines.model.vocabulary import Vocabulary
from refute.errors import ExperimentError, NonFiniteError, UsageError
from refute.spec.experiments.training import Training
from refute.spec.publication import ExportLabel
from refute.spec.release import HfModel
from training_runs import BASE

WIDTH, K = 300, 6
Answer = Callable[[str, dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def teacher(teacher_folder: Path) -> Teacher:
    """A random Llama of four layers."""
    return load_teacher(HfModel(format="hf", path="teacher"), teacher_folder, device="cpu")


@pytest.fixture(scope="module")
def window(corpus_evidence: Path) -> Batch:
    """Two documents of one window: the second one begins anew."""
    ids = load_file(corpus_evidence / "train.safetensors")["tokens"].long()[:1]
    return pack(ids, int(ids[0, 4]))


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """An HTTP server on this machine that answers `answer(path, body)`, and knows nothing by GET."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            data = json.dumps(answer(self.path, body)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def as_vllm(teacher: Teacher, tokenizer: PreTrainedTokenizerFast) -> Answer:
    """What vLLM says of `teacher`: at each token of a prompt, the likeliest ones and the one that stands there."""

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/tokenize":
            return {"tokens": tokenizer.encode(body["prompt"], add_special_tokens=body["add_special_tokens"])}
        prompt = body["prompt"]
        rows: list[dict[str, dict[str, float]] | None] = [None]
        logits = teacher.logits(torch.tensor([prompt]))[0].double().log_softmax(dim=-1)
        for place, number in enumerate(prompt[1:]):
            best = logits[place].topk(body["prompt_logprobs"]).indices.tolist()
            rows += [{str(each): {"logprob": logits[place, each].item()} for each in {*best, number}}]
        return {"choices": [{"prompt_logprobs": rows}]}

    return answer


def same_entries(source: ServedSource, teacher: Teacher, window: Batch, *, off: float) -> None:
    """The same ids, log-probabilities and tails as from the teacher itself, up to `off`."""
    said, known = (each.top(window, K, 1.0) for each in (source, LoadedSource(teacher, WIDTH)))
    assert torch.equal(said.ids, known.ids)
    torch.testing.assert_close(said.logits, known.logits.double(), atol=off, rtol=0)
    torch.testing.assert_close(said.tail, known.tail.double(), atol=off, rtol=0)
    torch.testing.assert_close(said.mass, known.mass.double(), atol=off, rtol=0)
    again = source.log_probs(window, known.ids, 1.0)
    torch.testing.assert_close(
        again, LoadedSource(teacher, WIDTH).log_probs(window, known.ids, 1.0).double(), atol=off, rtol=0
    )


def test_llama_cpp_says_what_the_teacher_says(
    teacher: Teacher, teacher_folder: Path, tiny_tokenizer: PreTrainedTokenizerFast, window: Batch, tmp_path: Path
) -> None:
    """The real server, of the teacher's own export; a student that reads otherwise is refused."""
    file = tmp_path / "teacher.F32.gguf"
    export_gguf(read_source(teacher_folder), file, ExportLabel.F32, lambda *_: None)
    with serve_in_llama_cpp(file, context=64, threads=1) as running:
        server = Server(running.address, "teacher", concurrency=1, key=running.key)
        source = open_served(server, WIDTH, tiny_tokenizer)
        assert source.llama_cpp
        same_entries(source, teacher, window, off=0.02)  # keys and values that the server remembers have 16 bits


@pytest.mark.slow
def test_vllm_says_what_the_teacher_says(
    teacher: Teacher, tiny_tokenizer: PreTrainedTokenizerFast, window: Batch, tmp_path: Path
) -> None:
    """The entries, and a cache that teaches a run without a teacher, and none with another one."""
    training = Training(**{**BASE, "temperature": 1.0, "document_mask": True})
    vocabulary = Vocabulary.of(WIDTH, tiny_tokenizer)
    with serving(as_vllm(teacher, tiny_tokenizer)) as url:
        source = open_served(Server(url, "a-teacher"), WIDTH, tiny_tokenizer)
        assert not source.llama_cpp
        same_entries(source, teacher, window, off=1e-5)
        made = prepare(tmp_path, lambda _: window, 1, source, None, training, k=K, vocabulary=vocabulary)
    assert made["served"] == "a-teacher"
    cache = TopKCache.open(tmp_path, training, None, vocabulary, "cpu")
    assert torch.equal(cache.entries(window).ids, LoadedSource(teacher, WIDTH).top(window, K, 1.0).ids)
    with pytest.raises(ExperimentError, match="served is a-teacher, the run has None"):
        TopKCache.open(tmp_path, training, "a" * 64, vocabulary, "cpu")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda _: {"choices": [{"text": "x"}]}, ExperimentError, "gave no `prompt_logprobs` for"),
        (lambda _: {"choices": []}, ExperimentError, "gave no `prompt_logprobs` for"),
        (lambda rows: rows[:-1], ExperimentError, "gave no `prompt_logprobs` for"),
        (lambda rows: [{"1": {"logprob": -1.0}} for _ in rows], ExperimentError, "gave 1 of the 6 likeliest"),
        (lambda rows: [{str(n): {"logprob": -0.1} for n in range(9)} for _ in rows], NonFiniteError, "sum up to 8"),
        (
            lambda rows: [{str(n): {"logprob": float("nan")} for n in range(9)} for _ in rows],
            NonFiniteError,
            "sum up to nan",
        ),
        (
            lambda rows: [{str(n + 295): {"logprob": -5.0} for n in range(9)} for _ in rows],
            ExperimentError,
            "says token 300",
        ),
    ],
)
def test_what_is_no_answer_is_refused(
    teacher: Teacher,
    tiny_tokenizer: PreTrainedTokenizerFast,
    window: Batch,
    change: Callable[[Any], Any],
    error: type[Exception],
    message: str,
) -> None:
    """No probabilities, too few, more than there are, of tokens that the student has not."""
    right = as_vllm(teacher, tiny_tokenizer)

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        said = right(path, body)
        if path == "/tokenize":
            return said
        found = change(said["choices"][0]["prompt_logprobs"])
        return found if isinstance(found, dict) else {"choices": [{"prompt_logprobs": found}]}

    with serving(answer) as url:
        source = open_served(Server(url, "a-teacher"), WIDTH, tiny_tokenizer)
        with pytest.raises(error, match=message):
            source.top(window, K, 1.0)


@pytest.mark.slow
def test_another_tokenizer_or_temperature_is_refused(
    teacher: Teacher, tiny_tokenizer: PreTrainedTokenizerFast, window: Batch
) -> None:
    """Its probabilities would belong to other tokens; and a tail is known at one temperature."""
    right = as_vllm(teacher, tiny_tokenizer)
    with serving(right) as url:
        source = open_served(Server(url, "a-teacher"), WIDTH, tiny_tokenizer)
        with pytest.raises(UsageError, match=r"temperature is 2\.0"):
            source.top(window, K, 2.0)
        with pytest.raises(UsageError, match="has no name"):
            open_served(Server(url, ""), WIDTH, tiny_tokenizer)

    def shifted(path: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"tokens": [number + 1 for number in right(path, body)["tokens"]]}

    with serving(shifted) as url, pytest.raises(ExperimentError, match="the server makes the ids"):
        open_served(Server(url, "a-teacher"), WIDTH, tiny_tokenizer)
