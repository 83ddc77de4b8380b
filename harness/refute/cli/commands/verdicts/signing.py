"""`refute keygen`, `sign-off` and `countersign`: a key of one's own, and a second person's signature on a verdict."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from refute.cli.console import print_json
from refute.cli.options import Json, PassphraseFile, PublicKey
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


class Decided(StrEnum):
    """What a reviewer says of a verdict, or, to withdraw it, who signed it."""

    APPROVE = "approve"
    REJECT = "reject"
    WITHDRAW = "withdraw"


def sign_off(
    verdict: Annotated[Path, typer.Argument(help="verdict.intoto.json")],
    role: Annotated[str, typer.Option(help="The role that you review in, as the policy names it.")],
    decision: Annotated[Decided, typer.Option(help="What you decide; who signs verdicts may withdraw one.")],
    note: Annotated[str, typer.Option(help="Why, and what you looked at; it is signed.")],
    key: Annotated[str, typer.Option(help="Your private key: a PEM file, or a URI such as awskms:ID.")],
    verdict_key: Annotated[
        list[Path] | None, typer.Option(help="A public key that you trust for the verdict; repeatable.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy with the operator's keys and the roles.")] = None,
    public_key: PublicKey = None,
    passphrase_file: PassphraseFile = None,
    out: Annotated[Path | None, typer.Option(help="Where to write it (default: beside the verdict).")] = None,
    sigstore: Annotated[bool, typer.Option("--sigstore", help="Write it as a Sigstore bundle.")] = False,
    as_json: Json = False,
) -> None:
    """Approve or reject a verdict, in a role: a statement of your own, signed with your own key.

    The verdict is verified first. Nothing is overwritten, and nobody can approve a NO-GO. A key that is trusted for the
    verdict approves nothing, but may withdraw it: `refute verify` then refuses that verdict where it finds this file.
    """
    from refute.verify.sign_off.make import SignOffRequest, make_sign_off

    request = SignOffRequest(
        verdict=verdict,
        role=role,
        decision=decision.value,
        note=note,
        key=key,
        public_key=public_key,
        passphrase_file=passphrase_file,
        verdict_keys=tuple(verdict_key or ()),
        policy=policy,
        out=out,
        sigstore=sigstore,
    )
    written = make_sign_off(request)
    if as_json:
        print_json(written.as_json())
    else:
        typer.echo(f"{decision} as {role}: payload {written.verdict_sha256}\nsign-off {written.path}")
        if written.lacking:
            typer.echo(f"the policy is not met yet: {written.lacking}")


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
