"""`refute countersign`: a second operator's signature on a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refute.cli.console import print_json
from refute.cli.options import Json, PassphraseFile, PublicKey


def countersign(
    verdict: Annotated[Path, typer.Argument(help="verdict.intoto.json")],
    key: Annotated[str, typer.Option(help="Your private key: a PEM file, or a URI such as awskms:ID.")],
    verdict_key: Annotated[
        list[Path] | None, typer.Option(help="A public key that you trust for the verdict; repeatable.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy with the operators' keys.")] = None,
    public_key: PublicKey = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Add your signature to a verdict that verifies, so that `refute verify --threshold 2` or a policy is met.

    What was signed stays as it is, and so do earlier signatures. Judge the run again yourself before you sign: a second
    signature is worth what its holder looked at.
    """
    from refute.verify.sign_off.countersign import CountersignRequest
    from refute.verify.sign_off.countersign import countersign as add_signature

    request = CountersignRequest(verdict, key, public_key, passphrase_file, tuple(verdict_key or ()), policy)
    done = add_signature(request)
    if as_json:
        print_json(done.as_json())
    else:
        typer.echo(f"payload {done.payload_sha256} is signed by key {done.key_id[:16]}…, too")
        for path in done.files:
            typer.echo(f"  {path}")
