"""The commands of `refute eval`: arguments in, figures out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from refute.cli.arguments import refuse_idle
from refute.cli.console import print_json
from refute.cli.eval.options import (
    Backend,
    Device,
    ErrorRate,
    ExecutionOptions,
    LookEvery,
    Memory,
    Minimum,
    Problems,
    Protocol,
    Rule,
    SequentialBar,
    SequentialOptions,
    ServerOptions,
    Spending,
    Tier,
    Timeout,
    Workers,
)
from refute.cli.exit_statuses import Status
from refute.cli.options import Json

app = typer.Typer(no_args_is_help=True, help="HumanEval: let a model answer it, score samples, compare results.")


@app.command()
def score(
    context: typer.Context,
    samples: Annotated[Path, typer.Argument(help="Samples of openai/human-eval, EvalPlus, bigcode, lm-eval, Inspect.")],
    out: Annotated[Path, typer.Option(help="Results, one row a sample; an interrupted call continues there.")],
    problems: Problems = None,
    timeout: Timeout = 10.0,
    memory: Memory = 512,
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
    from refute.cli.eval.problem_set import read_problems
    from refute.cli.eval.score import score_file
    from refute.cli.eval.show import show_score

    if bar is None:
        refuse_idle(context, ("error_rate", "spending", "look_every"), "--bar")
    limits = ExecutionOptions(timeout, memory, minimum_isolation, workers).limits()
    taken = read_problems(problems)
    design = SequentialOptions(bar, error_rate, spending, look_every).design(taken)
    figures = score_file(samples, out, problems=taken, limits=limits, partial=partial, design=design)
    _show(figures, show_score(figures), as_json=as_json)
    raise typer.Exit(Status.FAILED if figures.get("faulty_lines") or figures["errors"] else 0)


@app.command()
def humaneval(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="Model folder with its tokenizer, or GGUF file; the name at a server.")],
    out: Annotated[Path, typer.Option(help="Folder for samples, results and summary; a run continues there.")],
    protocol: Annotated[Protocol, typer.Option(help="Bare prompt, or the chat template.")] = Protocol.COMPLETION,
    system_prompt: Annotated[str | None, typer.Option(help="With --protocol chat: a turn before the user's.")] = None,
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
    memory: Memory = 512,
    minimum_isolation: Minimum = Tier.SECCOMP,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Let a model answer the problems, then execute its answers. An error of the model is an error, never a score.

    With --bar, problems are put in a random order and only until the bar is decided; the interval allows for that.
    """
    from refute.cli.eval.backend import EvalRequest
    from refute.cli.eval.generate import run_humaneval
    from refute.cli.eval.problem_set import read_problems
    from refute.cli.eval.show import show_samples, show_score
    from refute.engines.humaneval.samples.sampler import make_sampler

    limits = ExecutionOptions(timeout, memory, minimum_isolation, workers).limits()
    if bar is None:
        refuse_idle(context, ("error_rate", "spending", "look_every"), "--bar")
    if backend is not Backend.OPENAI:
        refuse_idle(context, ("base_url", "concurrency", "attempts", "key_variable"), "--backend openai")
    at_server = ServerOptions(base_url, concurrency, attempts, key_variable)
    request = EvalRequest(
        model=Path(model),
        protocol=protocol.engine_name,
        sampler=make_sampler(n=n, temperature=temperature, top_p=top_p, seed=seed),
        max_new_tokens=max_new_tokens,
        batch_size=batch_size or (1 if backend is Backend.LLAMA_CPP else 8),
        device=device.value,
        threads=threads or os.cpu_count() or 1,
        backend=backend.value,
        server=at_server.server(model) if backend is Backend.OPENAI else None,
        allowed_errors=allowed_errors,
        system_prompt=system_prompt,
    )
    taken = read_problems(problems, limit)
    design = SequentialOptions(bar, error_rate, spending, look_every).design(taken)
    summary = run_humaneval(request, taken, out, limits, design)
    _show(summary, [*show_score(summary), *show_samples(summary)], as_json=as_json)


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
    _show(found, show_comparison(found), as_json=as_json)


def _show(figures: Mapping[str, object], lines: Sequence[str], *, as_json: bool) -> None:
    """Print figures: for programs, or in lines for people."""
    if as_json:
        print_json(figures)
    else:
        typer.echo("\n".join(lines))
