"""`refute keygen`: a key pair of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refute.cli.console import print_json
from refute.cli.options import Json
from refute.errors import UsageError


def keygen(
    name: Annotated[str, typer.Argument(help="Name of the key.")],
    directory: Annotated[Path | None, typer.Option(help="Where to put it (default: your key folder).")] = None,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="Encrypt it under the passphrase in this file (else $REFUTE_KEY_PASSPHRASE).")
    ] = None,
    ask_passphrase: Annotated[
        bool, typer.Option("--ask-passphrase", help="Encrypt it under a passphrase that you type twice.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make an Ed25519 key pair for signing verdicts. Keep the private half out of the repository."""
    from refute.attest import default_key_directory, generate_key, key_id
    from refute.attest.passphrase import choose_passphrase, given_passphrase

    if ask_passphrase and passphrase_file is not None:
        raise UsageError("--ask-passphrase and --passphrase-file both say what the passphrase is", hint="give one")
    passphrase = choose_passphrase() if ask_passphrase else given_passphrase(passphrase_file)
    pair = generate_key(directory or default_key_directory(), name, passphrase=passphrase)
    identity = key_id(pair.public.read_bytes())
    if as_json:
        print_json({"private_key": str(pair.private), "public_key": str(pair.public), "key_id": identity})
    else:
        typer.echo(f"private key: {pair.private}\npublic key:  {pair.public}\nkey id:      {identity}")
