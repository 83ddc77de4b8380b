"""`refute model run` and `bench`: what a model says, and how quickly."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from refute.cli.console import print_json
from refute.cli.exit_statuses import Status
from refute.cli.model.inspect import Model
from refute.cli.options import Json

Threads = Annotated[int, typer.Option(help="Threads that the engine computes on.", min=1)]


def run(
    model: Model,
    prompt: Annotated[str, typer.Argument(help="What the model goes on from.")],
    chat: Annotated[bool, typer.Option("--chat", help="Ask by the chat template, as a user's turn.")] = False,
    max_new_tokens: Annotated[int, typer.Option(help="At most so many tokens.", min=1)] = 64,
    temperature: Annotated[float, typer.Option(help="0: the likeliest token each time.", min=0.0)] = 0.0,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest tokens of this share.", min=0.0, max=1.0)] = 1.0,
    seed: Annotated[int, typer.Option(help="Decides what is drawn.")] = 17,
    threads: Threads = 2,
    as_json: Json = False,
) -> None:
    """Generate text: folders in transformers, GGUF files in llama.cpp.

    Exit status 1 where the answer is degenerate: empty, with characters of no text, or the same few tokens repeated.
    """
    from refute.cli.arguments import reading_what_was_named
    from refute.engines.model.tools.asking.degenerate import degenerate
    from refute.engines.model.tools.asking.engine import Sampling
    from refute.engines.model.tools.asking.opening import open_engine

    sampling = Sampling(max_new_tokens, temperature, top_p, seed)
    with reading_what_was_named(), open_engine(model, threads=threads) as engine:
        text = engine.prompt_of([{"role": "user", "content": prompt}]) if chat else prompt
        answer, name = engine.generate(engine.encode(text), sampling), engine.name
    fault = degenerate(answer.ids, answer.text)
    if as_json:
        print_json({"engine": name, "sampling": asdict(sampling), **asdict(answer), "degenerate": fault})
    else:
        typer.echo(answer.text)
    if fault is not None:
        typer.echo(f"degenerate: {fault}", err=True)
    raise typer.Exit(Status.DONE if fault is None else Status.FAILED)


def bench(
    model: Model,
    n: Annotated[int, typer.Option("-n", "--n", help="Answers that count.", min=1)] = 5,
    warm_up: Annotated[int, typer.Option(help="Answers before them that do not.", min=0)] = 2,
    new_tokens: Annotated[int, typer.Option(help="Tokens of each answer.", min=2)] = 32,
    threads: Threads = 2,
    as_json: Json = False,
) -> None:
    """Measure latency and tokens per second, in turns with the bare engine on the same file."""
    from refute.cli.arguments import reading_what_was_named
    from refute.engines.model.tools.asking.bench import measure_speed
    from refute.engines.model.tools.asking.opening import open_engine

    with reading_what_was_named(), open_engine(model, threads=threads) as engine:
        found = asdict(measure_speed(engine, n=n, warm_up=warm_up, new_tokens=new_tokens))
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        typer.echo(f"{name.replace('_', ' '):24} {value:.4g}" if isinstance(value, float) else f"{name:24} {value}")
