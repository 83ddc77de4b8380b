"""`refute rerun --challenge`: the audits of a verdict once more, on a machine that its signer does not own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from refute.cli.arguments import require_store
from refute.cli.console import print_json
from refute.cli.exit_statuses import Status
from refute.cli.options import Json, PassphraseFile, PublicKey
from refute.errors import UsageError
from refute.output import lossy


def rerun(
    verdict: Annotated[Path, typer.Argument(help="verdict.intoto.json, or its bundle.")],
    release: Annotated[Path, typer.Option(help="The release file that was judged; its paths start at its folder.")],
    store: Annotated[str, typer.Option(help="Where the verdict's evidence lies: a folder or a URL.")],
    key: Annotated[str, typer.Option(help="Your private key, which did not sign the verdict: a PEM file or a URI.")],
    challenge: Annotated[
        bool, typer.Option("--challenge", help="Audit with draws of your own, and sign what was found.")
    ] = False,
    verdict_key: Annotated[
        list[Path] | None, typer.Option(help="A public key that you trust for the verdict; repeatable.")
    ] = None,
    lock_key: Annotated[
        list[Path] | None, typer.Option(help="A public key that must have signed the lock; repeatable.")
    ] = None,
    falsifiers: Annotated[list[Path] | None, typer.Option(help="Folders with falsifiers that the specs use.")] = None,
    public_key: PublicKey = None,
    passphrase_file: PassphraseFile = None,
    out: Annotated[Path | None, typer.Option(help="Where to write it (default: beside the verdict).")] = None,
    as_json: Json = False,
) -> None:
    """Make the audits behind a verdict again, on your machine: other segments, other answers, drawn by you.

    Nothing is trained: steps, scores and answers are made again from the evidence in the store, and the falsifiers that
    rest on them attack the result under the verdict's own bars. What they found is signed with your key, held or not.
    """
    if not challenge:
        raise UsageError("a rerun is a challenge: it draws anew, measures and signs", hint="add --challenge")
    require_store(store)
    from refute.gate.progress import Progress
    from refute.verify.challenge.make import ChallengeRequest, make_challenge

    request = ChallengeRequest(
        verdict=verdict,
        release=release,
        store=store,
        key=key,
        public_key=public_key,
        passphrase_file=passphrase_file,
        verdict_keys=tuple(verdict_key or ()),
        lock_keys=tuple(lock_key or ()),
        falsifiers=tuple(falsifiers or ()),
        out=out,
    )
    progress = Progress(lossy(sys.stderr), live=False)
    written = make_challenge(request, progress)
    progress.close()
    found = written.challenge
    if as_json:
        print_json({"challenge": str(written.path), "payload_sha256": written.verdict_sha256, "result": found.result})
    else:
        for record in found.records:
            typer.echo(f"{record.outcome:<14}{record.falsifier}  {record.reason}".rstrip())
        typer.echo(f"{found.result}: verdict {written.verdict_sha256}\nchallenge {written.path}")
    if found.result != "held":
        raise typer.Exit(Status.FAILED if found.result == "refuted" else Status.NOT_JUDGED)
