"""`refute eval …`: arguments of the evaluation's commands."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from refute.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="HumanEval: let a model answer it, score samples, compare results.")


INCOMPLETE = 1


class Tier(StrEnum):
    """Isolation tiers, from least to most."""

    RLIMITS = "rlimits"
    SECCOMP = "seccomp"
    BUBBLEWRAP = "bubblewrap"


class Device(StrEnum):
    """Where a model computes."""

    CPU = "cpu"
    CUDA = "cuda"

    @property
    def engine_name(self) -> Literal["cpu", "cuda"]:
        """The engine's word for it."""
        return "cuda" if self is Device.CUDA else "cpu"


class Backend(StrEnum):
    """Who computes the answers."""

    TRANSFORMERS = "transformers"
    LLAMA_CPP = "llama.cpp"
    OPENAI = "openai"

    @property
    def engine_name(self) -> Literal["transformers", "llama.cpp", "openai"]:
        """The engine's word for it."""
        return self.value


class Rule(StrEnum):
    """Spending functions of a sequential test."""

    POCOCK = "pocock"
    OBRIEN_FLEMING = "obrien_fleming"

    @property
    def engine_name(self) -> Literal["pocock", "obrien_fleming"]:
        """The word for it in specs."""
        return "pocock" if self is Rule.POCOCK else "obrien_fleming"


class Protocol(StrEnum):
    """How a problem is put to a model."""

    COMPLETION = "completion"
    CHAT = "chat"

    @property
    def engine_name(self) -> Literal["completion", "chat_primed"]:
        """The engine's word for it: the chat template, with the answer's beginning given."""
        return "chat_primed" if self is Protocol.CHAT else "completion"


Problems = Annotated[
    Path | None, typer.Option(help="Problem file of HumanEval's schema (default: the official 164, by their digest).")
]


Timeout = Annotated[float, typer.Option(help="Wall seconds for a program and its tests.", min=0.01)]


Minimum = Annotated[Tier, typer.Option(help="Refuse to execute programs with less isolation than this.")]


Workers = Annotated[int | None, typer.Option(help="Programs executed at a time (default: one a CPU).", min=1)]


SequentialBar = Annotated[
    float | None, typer.Option("--bar", help="Percent. Stop once pass@1 is shown to lie above or below it.")
]


ErrorRate = Annotated[float, typer.Option(help="With --bar: chance of a wrong decision, at most.")]


Spending = Annotated[Rule, typer.Option(help="With --bar: how the test spends its error over the looks.")]


LookEvery = Annotated[int, typer.Option(help="With --bar: problems from one look to the next.", min=1)]


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def score(
    samples: Annotated[Path, typer.Argument(help="openai/human-eval's samples: rows with task_id, completion.")],
    out: Annotated[Path, typer.Option(help="Results, one row a sample; an interrupted call continues there.")],
    problems: Problems = None,
    timeout: Timeout = 10.0,
    minimum_isolation: Minimum = Tier.SECCOMP,
    workers: Workers = None,
    partial: Annotated[bool, typer.Option("--partial", help="Accept missing problems and uneven counts.")] = False,
    bar: SequentialBar = None,
    error_rate: ErrorRate = 0.05,
    spending: Spending = Rule.POCOCK,
    look_every: LookEvery = 8,
    as_json: Json = False,
) -> None:
    """Execute samples and count passes. Ends in 0 if every sample was scored, in 1 if a line or a sample was not.

    With --bar, problems are taken in a random order and only until the bar is decided; the interval allows for that.
    """
    from refute.cli.eval.score import limits_of, read_problems, score_file
    from refute.cli.eval.show import show_score

    limits = limits_of(timeout, minimum_isolation.value, workers)
    if bar is not None:
        from refute.cli.eval.score_sequential import design_for, score_until_decided
        from refute.cli.eval.show import show_sequential

        if partial:
            raise UsageError("--bar takes one sample of every problem", hint="leave out --partial or --bar")
        taken = read_problems(problems)
        design = design_for(taken, bar=bar, error_rate=error_rate, spending=spending.engine_name, look_every=look_every)
        found = score_until_decided(samples, out, problems=taken, limits=limits, design=design)
        typer.echo(json.dumps(found, indent=1) if as_json else "\n".join(show_sequential(found)))
        return
    figures = score_file(samples, out, problems=read_problems(problems), limits=limits, partial=partial)
    typer.echo(json.dumps(figures, indent=1) if as_json else "\n".join(show_score(figures)))
    raise typer.Exit(INCOMPLETE if figures["faulty_lines"] or figures["errors"] else 0)


@app.command()
def humaneval(
    model: Annotated[str, typer.Option(help="Model folder with its tokenizer, or GGUF file; the name at a server.")],
    out: Annotated[Path, typer.Option(help="Folder for samples, results and summary; a run continues there.")],
    protocol: Annotated[Protocol, typer.Option(help="Bare prompt, or the chat template.")] = Protocol.COMPLETION,
    n: Annotated[int, typer.Option("-n", "--samples", help="Samples a problem.", min=1)] = 1,
    temperature: Annotated[float, typer.Option("-t", "--temperature", help="0 takes the likeliest token.")] = 0.0,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest tokens of so much probability.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the samples; each has random numbers of its own.")] = 17,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.", min=1)] = 512,
    batch_size: Annotated[
        int | None, typer.Option(help="Answers generated at a time (default: 8; 1 in llama.cpp).", min=1)
    ] = None,
    limit: Annotated[int | None, typer.Option(help="The first problems only.", min=1)] = None,
    device: Annotated[Device, typer.Option(help="Where the model computes.")] = Device.CPU,
    threads: Annotated[int | None, typer.Option(help="CPU threads of the model (default: one a CPU).", min=1)] = None,
    backend: Annotated[
        Backend, typer.Option(help="Load the model (a GGUF file in llama.cpp), or ask a server.")
    ] = Backend.TRANSFORMERS,
    base_url: Annotated[str | None, typer.Option(help="Of the server, such as http://localhost:8000/v1.")] = None,
    concurrency: Annotated[int, typer.Option(help="Requests at a time.", min=1)] = 8,
    attempts: Annotated[int, typer.Option(help="Tries of one request before it is an error.", min=1)] = 16,
    key_variable: Annotated[
        str | None, typer.Option(help="Environment variable with the server's API key, where it wants one.")
    ] = None,
    allowed_errors: Annotated[
        float, typer.Option(help="Share of samples that may have no verdict; they count as failed.", min=0, max=1)
    ] = 0.0,
    bar: SequentialBar = None,
    error_rate: ErrorRate = 0.05,
    spending: Spending = Rule.POCOCK,
    look_every: LookEvery = 8,
    problems: Problems = None,
    timeout: Timeout = 10.0,
    minimum_isolation: Minimum = Tier.SECCOMP,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Let a model answer the problems, then execute its answers. An error of the model is an error, never a score.

    With --bar, problems are put in a random order and only until the bar is decided; the interval allows for that.
    """
    from refute.cli.eval.backend import EvalRequest
    from refute.cli.eval.generate import run_humaneval
    from refute.cli.eval.score import limits_of, read_problems
    from refute.cli.eval.show import show_samples, show_score, show_sequential
    from refute.engines.humaneval.samples.sampler import make_sampler

    limits = limits_of(timeout, minimum_isolation.value, workers)
    sampler = make_sampler(n=n, temperature=temperature, top_p=top_p, seed=seed)
    server = None
    if backend is Backend.OPENAI:
        from refute.engines.humaneval.backends.servers.http_client import Server
        from refute.errors import UsageError

        if key_variable is not None and key_variable not in os.environ:
            raise UsageError(f"there is no environment variable {key_variable}", hint="set it to the server's API key")
        server = Server(base_url or "", model, concurrency, attempts, key=os.environ.get(key_variable or ""))
    request = EvalRequest(
        model=Path(model),
        protocol=protocol.engine_name,
        sampler=sampler,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size or (1 if backend is Backend.LLAMA_CPP else 8),
        device=device.engine_name,
        threads=threads or os.cpu_count() or 1,
        backend=backend.engine_name,
        server=server,
        allowed_errors=allowed_errors,
    )
    taken = read_problems(problems, limit)
    if bar is None:
        summary = run_humaneval(request, taken, out, limits)
    else:
        from refute.cli.eval.generate_sequential import run_until_decided
        from refute.cli.eval.score_sequential import design_for

        design = design_for(taken, bar=bar, error_rate=error_rate, spending=spending.engine_name, look_every=look_every)
        summary = run_until_decided(request, taken, out, limits, design)
    shown = show_score(summary) if bar is None else show_sequential(summary)
    typer.echo(json.dumps(summary, indent=1) if as_json else "\n".join([*shown, *show_samples(summary)]))


@app.command(name="compare")
def compare_command(
    a: Annotated[Path, typer.Argument(help="Results of the old model: a file, or a folder with results.jsonl.")],
    b: Annotated[Path, typer.Argument(help="Results of the new one.")],
    partial: Annotated[bool, typer.Option("--partial", help="Compare only the problems that both have.")] = False,
    seed: Annotated[int, typer.Option(help="Of the bootstrap over problems.", min=0)] = 17,
    as_json: Json = False,
) -> None:
    """Compare two results files problem by problem: B against A, with the problems won and lost."""
    from refute.cli.eval.compare import compare_files
    from refute.cli.eval.show import show_comparison

    found = compare_files(a, b, partial=partial, seed=seed)
    typer.echo(json.dumps(found, indent=1) if as_json else "\n".join(show_comparison(found)))
