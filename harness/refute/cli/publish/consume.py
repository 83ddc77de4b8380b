"""`refute consume`: somebody else uses a released model on a machine of their own, and signs what came of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.console import print_json, progress
from refute.cli.exit_statuses import Status
from refute.cli.options import Json, PassphraseFile, PublicKey
from refute.errors import UsageError

if TYPE_CHECKING:
    from refute.verify.consumer.make import Consumed


def consume(
    place: Annotated[
        str,
        typer.Argument(help="The model: a folder or file, hub:ORG/NAME@COMMIT, or the verdict that lies beside it."),
    ],
    key: Annotated[str, typer.Option(help="Your private key, nobody's who released it: a PEM file or a URI.")],
    verdict_key: Annotated[
        list[Path] | None, typer.Option(help="A public key that you trust for the verdict; repeatable.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy with the operators' and the consumers' keys.")] = None,
    verdict: Annotated[Path | None, typer.Option(help="The verdict or its bundle (default: beside the model).")] = None,
    note: Annotated[str, typer.Option(help="What you did with it, in your words; it is signed.")] = "",
    valid_days: Annotated[int, typer.Option(help="Days after which your statement ends.", min=1, max=366)] = 90,
    threads: Annotated[int, typer.Option(help="CPU threads of an engine.", min=1, max=512)] = 2,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Use nothing; take back what this key said of the verdict.")
    ] = False,
    public_key: PublicKey = None,
    passphrase_file: PassphraseFile = None,
    out: Annotated[Path | None, typer.Option(help="Where to write it (default: beside the verdict).")] = None,
    as_json: Json = False,
) -> None:
    """Use a released model as a stranger would, and sign what came of it with your own key.

    Digest and verdict are checked first; then refute's own forward, transformers and llama.cpp each go on from one
    prompt, those that are installed here, in fresh processes without a network. Exit status 1 where one of them failed:
    that is signed, too. For a GGUF file `pip install 'refute[xllamacpp]'` is enough.
    """
    from refute.verify.consumer.make import ConsumeRequest, prepare, sign_use

    if withdraw and not note.strip():
        raise UsageError("a withdrawal needs a reason", hint="say it with --note")
    ready = prepare(
        ConsumeRequest(
            place=place,
            verdict=verdict,
            key=key,
            public_key=public_key,
            passphrase_file=passphrase_file,
            verdict_keys=tuple(verdict_key or ()),
            policy=policy,
            note=note,
            valid_days=valid_days,
            out=out,
            withdraw=withdraw,
        )
    )
    if withdraw:
        _show(sign_use(ready, "", (), {}), as_json=as_json)
        return
    from refute.engines.export.usage.consumer import PROMPT, use_model

    with progress(quiet=as_json) as report:
        tries = use_model(ready.model, threads=threads, report=report)
    done = sign_use(ready, PROMPT, [asdict(each) for each in tries.paths], tries.not_run)
    _show(done, as_json=as_json)
    raise typer.Exit(Status.DONE if done.content.result == "used" else Status.FAILED)


def _show(done: Consumed, *, as_json: bool) -> None:
    if as_json:
        print_json(done.as_json())
        return
    from refute.escaping import one_line

    for path in done.content.paths:
        typer.echo(one_line(f"{path.engine:<13} {path.file}: {path.fault or ascii(path.text)}"))
    for engine, why in done.content.not_run.items():
        typer.echo(f"{engine:<13} not run: {why}")
    typer.echo(f"{done.content.result}: verdict {done.verdict_sha256}\nstatement {done.path}")
