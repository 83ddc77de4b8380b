"""`refute lock show` and `verify`: what a lock says, and what that is worth. Reads texts alone, and needs no extra."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.arguments import read_certificates, read_file, read_keys
from refute.cli.commands.locks.table import change_table
from refute.cli.console import print_json
from refute.cli.options import Json, TrustedKeys
from refute.errors import UsageError
from refute.spec.folders import SPECS

if TYPE_CHECKING:
    from refute.lock.model import Lock

LockFile = Annotated[Path, typer.Argument(help="NAME.lock.intoto.json")]


def show(lock: LockFile, as_json: Json = False) -> None:
    """Show what a lock promises: bars, digests of code and inputs, what was relaxed. Whose word it is, is not asked."""
    from refute.escaping import one_line
    from refute.lock.file import peek_lock
    from refute.verify.verification import naming

    with naming(lock):
        found, payload_sha256 = peek_lock(read_file(lock))
    if as_json:
        content = found.model_dump(mode="json", by_alias=True)
        print_json({"verified": False, "payload_sha256": payload_sha256, "lock": content}, sort_keys=True)
        return
    for line in (_headline(found, payload_sha256), *_promises(found), *change_table(found.relaxed)):
        typer.echo(one_line(line))
    typer.echo("no signature was checked: refute lock verify does, with --key PUB")


def verify(
    lock: LockFile,
    key: TrustedKeys,
    specs: Annotated[list[Path] | None, typer.Argument(help="Spec files or folders that must be those locked.")] = None,
    release: Annotated[Path | None, typer.Option(help="Release file that must be the one locked.")] = None,
    timestamp_root: Annotated[
        list[Path] | None, typer.Option(help="Demand that an RFC 3161 authority under this certificate saw it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check whose lock it is, when an authority saw it, and whether texts are those that it locks.

    Ends in 4 where it is not to be trusted, in 5 where a text differs. Whether a run kept the lock, its verdict says.
    """
    from refute.lock.file import read_lock
    from refute.lock.reading import require_texts, seen_at
    from refute.spec.fields import utc_text
    from refute.spec.selection import select
    from refute.verify.verification import naming

    if specs and release is None:
        raise UsageError("specs are compared together with their release", hint="add --release FILE")
    data, keys, roots = read_file(lock), read_keys(key), read_certificates(timestamp_root or ())
    with naming(lock):
        signed = read_lock(data, keys)
        seen = seen_at(lock, data, roots)
        if release is not None:
            require_texts(signed.lock, *select(release, specs or [SPECS], named=specs))
    said = {
        "verified": True,
        "payload_sha256": signed.payload_sha256,
        "key_id": signed.key_id,
        "release": signed.lock.promise.release.content.release,
        "sequence": signed.lock.sequence,
        "locked_at": signed.lock.locked_at,
        "seen_at": seen and utc_text(seen.moment),
        "texts_compared": release is not None,
    }
    if as_json:
        print_json(said)
        return
    typer.echo(f"authentic: {_headline(signed.lock, signed.payload_sha256)}")
    typer.echo(f"  signed by key {signed.key_id}")
    typer.echo(f"  seen at {said['seen_at']} by {seen.authority}" if seen else "  when, says the signer's clock alone")
    typer.echo(f"  {release} and its specs are what was locked" if release else "  texts not compared: give --release")


def _headline(lock: Lock, payload_sha256: str) -> str:
    release = lock.promise.release.content.release
    return f"lock {lock.sequence} of {release}, made at {lock.locked_at}, payload {payload_sha256}"


def _promises(lock: Lock) -> Iterator[str]:
    """What is promised, a line each, bars as they are written."""
    from refute.spec.criteria import attacks

    promise = lock.promise
    yield f"release {promise.release.content.release}: text {promise.release.sha256}"
    for each in promise.specs:
        yield f"{each.content.spec}, version {each.content.version}: text {each.sha256}"
    for spec, criterion, use in attacks(each.content for each in promise.specs):
        bars = (f"{name} {bar.holds_if}" for name, bar in use.thresholds.items())
        yield f"  {spec.spec} {criterion.id} {use.id}: {'; '.join(bars) or 'no bar'}"
    yield f"engine {promise.facts.engine}"
    yield from (f"falsifier {name}: {each.file}" for name, each in sorted(promise.facts.falsifiers.items()))
    yield from (f"input {place}: {digest}" for place, digest in sorted(promise.facts.inputs.items()))
    yield f"policy {promise.policy or 'none'}; lock before: {lock.predecessor or 'none'}"
    if lock.known_before:
        yield f"measured before this lock: {', '.join(lock.known_before)}"
