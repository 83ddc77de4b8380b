"""`refute model qa` and `readiness`: gates, each with an ending, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.console import print_json
from refute.cli.exit_statuses import Status
from refute.cli.model.ask import Threads
from refute.cli.model.inspect import Model
from refute.cli.options import Json
from refute.escaping import one_line

if TYPE_CHECKING:
    from refute.engines.model.tools.asking.qa import GateResult

Floor = Annotated[float, typer.Option("--at-least", help="Tokens per second below which throughput fails.", min=0.0)]


def qa(
    model: Model,
    beside: Annotated[Path | None, typer.Option(help="The same model in the other format: folder or GGUF.")] = None,
    at_least: Floor = 1.0,
    threads: Threads = 2,
    as_json: Json = False,
) -> None:
    """Run the eight gates: weights, metadata, tokenizer, template, output, determinism, speed, and another format.

    Exit status 1 unless all of them passed: one that was not run did not.
    """
    from refute.cli.arguments import reading_what_was_named
    from refute.engines.model.tools.asking.qa import run_gates

    with reading_what_was_named():
        results = run_gates(model, beside=beside, floor=at_least, threads=threads)
    _end(model, results, as_json=as_json)


def readiness(
    model: Model,
    export: Annotated[list[Path] | None, typer.Option(help="A GGUF file made of it; repeatable.")] = None,
    at_least: Floor = 1.0,
    threads: Threads = 2,
    as_json: Json = False,
) -> None:
    """Look at everything before publishing: digest, lint, quality and gates of a model and of its exports.

    Exit status 1 unless all of it passed.
    """
    from refute.cli.arguments import reading_what_was_named
    from refute.engines.model.tools.readiness import look_at_readiness

    with reading_what_was_named():
        results = look_at_readiness(model, exports=tuple(export or ()), floor=at_least, threads=threads)
    _end(model, results, as_json=as_json)


def _end(model: Path, results: Sequence[GateResult], *, as_json: bool) -> None:
    passed = sum(each.state == "passed" for each in results)
    if as_json:
        print_json({"model": str(model), "passed": passed, "gates": [asdict(each) for each in results]})
    else:
        width = max(len(each.gate) for each in results)
        for each in results:
            typer.echo(f"{each.state:8} {each.gate:{width}}  {one_line(each.found)}")
        typer.echo(f"{passed} of {len(results)} passed")
    raise typer.Exit(Status.DONE if passed == len(results) else Status.FAILED)
