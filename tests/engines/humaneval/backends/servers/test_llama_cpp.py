"""llama.cpp as a backend, on a real GGUF file of a tiny model: in this process, and as a server that is asked."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import yaml
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from json_lines import read_rows
from refute.attest import model_digest
from refute.disk import file_sha256
from refute.engines.humaneval.backends.local.generate import generate
from refute.engines.humaneval.backends.servers.discover import reach
from refute.engines.humaneval.backends.servers.llama_cpp import serve
from refute.engines.humaneval.backends.servers.reported_sampler import require_as_asked
from refute.engines.humaneval.experiments.evaluate import evaluate
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.prompts import PROTOCOLS, ProtocolName, template_sha256
from refute.engines.humaneval.samples.sampler import GREEDY
from refute.engines.model.server.client import Client
from refute.errors import ExperimentError, MissingDependencyError
from refute.evidence.laboratory import Laboratory, Watcher
from refute.evidence.plan import plan_release
from refute.evidence.store import Store
from refute.job import Job
from refute.judge.exhibits.inputs import gather_inputs
from refute.judge.run.folder import EvidenceLine
from refute.spec.experiments.evidence.export import ExportedFile, Exports
from refute.spec.experiments.evidence_files import EXPORTS
from refute.spec.files import load_release

if TYPE_CHECKING:
    from tests.conftest import Cli

RELEASES = Path(__file__).parents[5] / "specs" / "releases"
GgufFile = Callable[..., Path]


class Desk(Protocol):
    """What the fixture `desk` offers."""

    def job(self, config: dict[str, object], out: str = "out", **inputs: Path) -> Job: ...


def arguments(model: Path, problem_file: Path, out: Path, *more: object) -> list[str]:
    """`eval humaneval` in llama.cpp for three problems."""
    fixed = ["eval", "humaneval", "--backend", "llama.cpp", "--model", model, "--problems", problem_file, "--out", out]
    fixed += ["--max-new-tokens", 12, "--threads", 1, "--minimum-isolation", "rlimits"]
    return [str(each) for each in (*fixed, *more)]


def exported(folder: Path, model: Path) -> Path:
    """The evidence of an export that made this file."""
    (folder / "exported/gguf").mkdir(parents=True)
    shutil.copyfile(model, folder / "exported/gguf/m.F16.gguf")
    file = ExportedFile(
        file="m.F16.gguf",
        label="F16",
        architecture="llama",
        size=model.stat().st_size,
        sha256=file_sha256(model),
        parameters=1,
        tensors={},
        fallback=0.0,
    )
    EXPORTS.write(folder / "exported", Exports(files=(file,), refused={}))
    return folder / "exported"


def samples(out: Path) -> list[dict[str, Any]]:
    """The samples that a run left."""
    return read_rows(out / "samples.jsonl")


@pytest.mark.parametrize("protocol", ["completion", "chat_primed"])
def test_prompts_and_greedy_texts_are_those_of_transformers(
    gguf_file: GgufFile,
    make_model: Callable[[int], LlamaForCausalLM],
    tokenizer: PreTrainedTokenizerFast,
    problems: list[Problem],
    protocol: ProtocolName,
) -> None:
    """The same weights asked by the same protocol give the same tokens in, texts out, stops and digest."""
    model = make_model(1)
    model.resize_token_embeddings(len(tokenizer))
    rules = PROTOCOLS[protocol]
    expected = {
        each.task_id: each
        for each in generate(model, tokenizer, problems, protocol=rules, max_new_tokens=30, batch_size=1)
    }
    with serve(gguf_file(), problems, max_new_tokens=30, slots=1, threads=1) as server:
        client = Client(server)
        respondent = reach(client, server, rules, GREEDY, 30)
        found = {problem.task_id: respondent.complete(problem, 0) for problem in problems}
    assert {task: (each.text, each.stop) for task, each in found.items()} == {
        task: (each.text, each.stop) for task, each in expected.items()
    }
    assert respondent.prompt_format.template_sha256 == template_sha256(tokenizer, rules)


@pytest.mark.slow
def test_a_run_says_how_it_was_made(cli: Cli, tmp_path: Path, gguf_file: GgufFile, problem_file: Path) -> None:
    """Sampler values by llama.cpp's own word, repeats measured, versions and digest; the folder goes on for nothing."""
    out, model = tmp_path / "out", gguf_file()
    ended = cli(*arguments(model, problem_file, out, "--protocol", "chat", "-n", 3, "-t", 1.0, "--json"))
    assert ended.returncode == 0, ended.stderr
    made = json.loads(ended.stdout)["generation"]
    assert (made["backend"], made["protocol"], made["batch_size"]) == ("llama.cpp", "chat_primed", 1)
    effective = made["effective_sampler"]
    assert {name: effective[name] for name in ("temperature", "top_k", "min_p", "mirostat", "n_predict")} == {
        "temperature": 1.0, "top_k": 0, "min_p": 0.0, "mirostat": 0, "n_predict": 12,
    }  # fmt: skip
    assert (effective["samplers"], round(effective["top_p"], 6)) == (["temperature", "top_p"], 0.95)
    assert made["sampler_reported_by"] == "the server, with every answer"
    assert made["repeated"] == {"samples": 8, "identical": 8, "must_be_identical": True}
    assert made["samples_depend_on"] == "nothing: one sample is computed at a time"
    assert (made["model_sha256"], "xllamacpp" in made["versions"]) == (model_digest(model), True)
    assert made["diversity"]["distinct_samples"] > 3
    again = json.loads(
        cli(*arguments(model, problem_file, out, "--protocol", "chat", "-n", 3, "-t", 1.0, "--json")).stdout
    )
    assert (again["executed_now"], again["generation"]) == (0, made)


@pytest.mark.slow
def test_order_and_resume_change_no_sample(
    cli: Cli, tmp_path: Path, gguf_file: GgufFile, problem_file: Path, problems: list[Problem]
) -> None:
    """A run of which every other sample was lost, and one of the problems backwards, hold the samples of a calm one."""
    model, more = gguf_file(), ("-n", 2, "-t", 1.0)
    calm, torn, backwards = tmp_path / "calm", tmp_path / "torn", tmp_path / "backwards"
    assert cli(*arguments(model, problem_file, calm, *more)).returncode == 0
    assert cli(*arguments(model, problem_file, torn, *more)).returncode == 0
    log = torn / "work" / "samples.jsonl"
    log.write_text("".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[::2]), encoding="utf-8")
    for name in ("generation.json", "samples.jsonl", "results.jsonl", "summary.json"):
        (torn / name).unlink()
    assert cli(*arguments(model, problem_file, torn, *more)).returncode == 0
    assert (torn / "samples.jsonl").read_bytes() == (calm / "samples.jsonl").read_bytes()
    turned = tmp_path / "turned.jsonl"
    turned.write_text("".join(reversed(problem_file.read_text(encoding="utf-8").splitlines(keepends=True))), "utf-8")
    assert cli(*arguments(model, turned, backwards, *more)).returncode == 0
    by_key = {(row["task_id"], row["sample"]): row for row in samples(backwards)}
    assert [by_key[row["task_id"], row["sample"]] for row in samples(calm)] == samples(calm)


@pytest.mark.slow
def test_llama_server_is_known_by_its_address(
    cli: Cli,
    tmp_path: Path,
    gguf_file: GgufFile,
    problem_file: Path,
    problems: list[Problem],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asked over HTTP as an OpenAI server, it gives the samples of the file in this process, and its sampler's word."""
    model, more = gguf_file(), ("--protocol", "chat", "-n", 2, "-t", 1.0)
    assert cli(*arguments(model, problem_file, tmp_path / "own", *more)).returncode == 0
    with serve(model, problems, max_new_tokens=12, slots=1, threads=1) as server:
        monkeypatch.setenv("SERVER_KEY", server.key or "")
        address = ("--backend", "openai", "--base-url", f"{server.base_url}/v1", "--key-variable", "SERVER_KEY")
        ended = cli(*arguments(model, problem_file, tmp_path / "asked", *more, *address, "--json"))
    assert ended.returncode == 0, ended.stderr
    made = json.loads(ended.stdout)["generation"]
    assert (made["protocol"], made["model_sha256"]) == ("chat_primed", None)
    assert (made["sampler_reported_by"], made["effective_sampler"]["top_k"]) == ("the server, with every answer", 0)
    assert samples(tmp_path / "asked") == samples(tmp_path / "own")


@pytest.mark.slow
def test_a_release_may_ask_llama_cpp_for_the_same_answers(
    desk: Desk,
    student: Path,
    tokenizer: PreTrainedTokenizerFast,
    gguf_file: GgufFile,
    problem_file: Path,
    settings: dict[str, object],
    tmp_path: Path,
) -> None:
    """From the GGUF file of the student, named or exported before, come the student's greedy samples; the file and its
    reader are evidence."""
    model = gguf_file()
    config: dict[str, object] = {
        "model": {"kind": "evidence", "name": "student"},
        "humaneval": {**settings, "batch_size": 1},
        "problems_path": str(problem_file),
        "threads": 1,
    }
    backend = {"kind": "llama.cpp", "version": "1", "path": str(model), "sha256": file_sha256(model), "slots": 1}
    loaded, asked = desk.job(config, "loaded", student=student), desk.job({**config, "backend": backend}, "asked")
    evaluate(loaded)
    evaluate(asked)
    samples_of = [(row["task_id"], row["completion"], row["stop"]) for row in samples(loaded.out)]
    assert [(row["task_id"], row["completion"], row["stop"]) for row in samples(asked.out)] == samples_of
    unnamed = {**backend, "path": None, "sha256": None}
    own = desk.job({**config, "backend": unnamed}, "own", student=student, exported=exported(tmp_path, model))
    evaluate(own)
    assert [(row["task_id"], row["completion"], row["stop"]) for row in samples(own.out)] == samples_of
    summary, same = (json.loads((each.out / "summary.json").read_text(encoding="utf-8")) for each in (asked, own))
    assert summary["backend"] == {"kind": "llama.cpp", "version": "1", "file_sha256": file_sha256(model)}
    assert same["backend"] == summary["backend"]
    assert (summary["protocol"], summary["sampler_reported_by"]) == ("chat_primed", "the server, with every answer")
    assert summary["effective_sampler"]["top_k"] == 0
    inputs = gather_inputs({"humaneval_student": line_of(asked.out)}).evaluations["humaneval_student"]
    assert (inputs.backend and inputs.backend.file_sha256, inputs.sampler.method) == (file_sha256(model), "argmax")


@pytest.mark.exhaustive
def test_a_gate_runs_what_the_release_states(
    tmp_path: Path, gguf_file: GgufFile, problem_file: Path, silence: Watcher
) -> None:
    """From the release file to filed evidence: the teacher's own GGUF file answers in llama.cpp."""
    model = gguf_file()
    data = yaml.safe_load((RELEASES / "quick.yaml").read_text(encoding="utf-8"))
    source = {"path": model.name, "sha256": file_sha256(model)}
    data["distillation"]["teacher"] = {"format": "gguf", "source": source}
    data["distillation"]["humaneval"] |= {
        "problems": {"path": problem_file.name, "sha256": file_sha256(problem_file)},
        "backend": {
            "kind": "llama.cpp",
            "student": {"path": "not-made-yet", "sha256": "1" * 64},
            "init": {"path": "nor-this", "sha256": "2" * 64},
        },
        "max_new_tokens": 12,
        "minimum_isolation": "rlimits",
        "limit": 2,
    }
    path = tmp_path / "release.yaml"
    path.write_text(json.dumps(data), encoding="utf-8")
    plan = plan_release(load_release(path).release, tmp_path)
    found = Laboratory(plan, Store(tmp_path / "store"), silence).obtain("humaneval_teacher")
    summary = found.json("summary.json")
    assert summary["backend"] == {
        "kind": "llama.cpp", "version": version("xllamacpp"), "file_sha256": source["sha256"],
    }  # fmt: skip
    assert (summary["problems"], summary["samples_depend_on"]) == (2, "nothing: one sample is computed at a time")


def line_of(folder: Path) -> EvidenceLine:
    """The files of a run as the judge sees them."""
    files = {path.name: file_sha256(path) for path in folder.iterdir()}
    return EvidenceLine(name="humaneval_student", digest="d" * 64, folder=str(folder), files=files)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["no tokenizer", "NaN", "cut", "no GGUF", "no file", "a folder"])
def test_a_file_that_cannot_be_loaded_is_an_error(
    cli: Cli, tmp_path: Path, gguf_file: GgufFile, problem_file: Path, fault: str
) -> None:
    """Exit 2 with the file's name, and nothing that looks like samples."""
    model = gguf_file(tokens=fault != "no tokenizer", fault=float("nan") if fault == "NaN" else None)
    if fault == "cut":
        model.write_bytes(model.read_bytes()[:-1000])
    elif fault == "no GGUF":
        model.write_bytes(b"hello")
    elif fault in ("no file", "a folder"):
        model.unlink()
    if fault == "a folder":
        model.mkdir()
        (model / "model.safetensors").write_bytes(b"hello")
    ended = cli(*arguments(model, problem_file, tmp_path / "out"))
    assert (ended.returncode, "tiny.gguf" in ended.stderr) == (2, True), ended.stderr
    assert not (tmp_path / "out" / "samples.jsonl").exists()


@pytest.mark.slow
def test_a_file_without_chat_template_has_no_chat_protocol(
    cli: Cli, tmp_path: Path, gguf_file: GgufFile, problem_file: Path
) -> None:
    """llama.cpp makes one up; that is not the model's."""
    ended = cli(*arguments(gguf_file(template=None), problem_file, tmp_path / "out", "--protocol", "chat"))
    assert (ended.returncode, "needs a chat template" in ended.stderr) == (2, True), ended.stderr


def test_a_gpu_is_not_promised(cli: Cli, tmp_path: Path, gguf_file: GgufFile, problem_file: Path) -> None:
    """The wheel computes on the CPU; whoever asks for more is told how to get it."""
    ended = cli(*arguments(gguf_file(), problem_file, tmp_path / "out", "--device", "cuda"))
    assert (ended.returncode, "on the CPU here, not on cuda" in ended.stderr) == (2, True), ended.stderr


@pytest.mark.slow
def test_a_prompt_that_does_not_fit_is_an_error(
    cli: Cli, tmp_path: Path, gguf_file: GgufFile, problem_file: Path
) -> None:
    """The model's context is 512 tokens; a text that would be cut there is no answer."""
    ended = cli(*arguments(gguf_file(), problem_file, tmp_path / "out", "--max-new-tokens", 500))
    assert ended.returncode == 7
    assert "prompt tokens + 500 new ones exceed the server's context of 512" in ended.stderr


def test_logits_that_are_nan_are_an_error(gguf_file: GgufFile, problems: list[Problem]) -> None:
    """Finite weights may overflow: llama.cpp then goes on with the first token, and only its probabilities tell."""
    model = gguf_file(fault=3e38)
    with serve(model, problems, max_new_tokens=8, slots=1, threads=1) as server:
        respondent = reach(Client(server), server, PROTOCOLS["completion"], GREEDY, 8)
        with pytest.raises(ExperimentError, match="Own/0: the logits of a new token are NaN or infinite"):
            respondent.complete(problems[0], 0)


@pytest.mark.parametrize("place", ["generation_settings", "__verbose"])
def test_another_sampler_than_the_one_asked_for_is_an_error(place: str) -> None:
    """Each value that was sent and is reported must be the one that was sent, as far as float32 goes."""
    settings: dict[str, object] = {"temperature": 0.20000000298023224, "top_p": 0.95, "mirostat": 2}
    answer = {place: settings if place == "generation_settings" else {"generation_settings": settings}}
    assert require_as_asked("T/0", {"temperature": 0.2, "seed": 1}, answer) == {"temperature": 0.20000000298023224}
    with pytest.raises(ExperimentError, match="T/0: the server's sampler reports mirostat = 2, asked for 0"):
        require_as_asked("T/0", {"temperature": 0.2, "mirostat": 0}, answer)
    assert require_as_asked("T/0", {"temperature": 0.2}, {"choices": []}) is None


def test_the_extra_is_named(tmp_path: Path, problems: list[Problem], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for llama.cpp and lacks it is told what to install."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with (
        pytest.raises(MissingDependencyError) as caught,
        serve(tmp_path / "x.gguf", problems, max_new_tokens=8, slots=1, threads=1),
    ):
        pass
    assert caught.value.hint == "pip install 'refute[xllamacpp]'"
