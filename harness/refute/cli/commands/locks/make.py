"""`refute lock`: pre-registration, signed before a run; shows what changed since the lock before."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.arguments import read_keys
from refute.cli.commands.locks.table import change_table
from refute.cli.console import print_json
from refute.cli.exit_statuses import Status
from refute.cli.options import FalsifierFolders, Json, PassphraseFile, PublicKey, RefuteDir, SigningKey, Timestamp
from refute.errors import LooseningError
from refute.spec.folders import FALSIFIERS, REFUTE_DIR, SPECS, folders, store_folder

if TYPE_CHECKING:
    from refute.lock.make import Locked


def lock(
    specs: Annotated[list[Path] | None, typer.Argument(help="Spec files or folders (default: specs).")] = None,
    release: Annotated[Path | None, typer.Option(help="The release to lock (default: as the gate chooses).")] = None,
    key: SigningKey = None,
    public_key: PublicKey = None,
    passphrase_file: PassphraseFile = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write (default: NAME.lock.intoto.json by NAME.yaml).")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy file that the verdict will be held against.")] = None,
    lock_key: Annotated[
        list[Path] | None, typer.Option(help="Public key of the lock that is there already; repeatable.")
    ] = None,
    falsifiers: FalsifierFolders = None,
    refute_dir: RefuteDir = REFUTE_DIR,
    timestamp: Timestamp = None,
    as_json: Json = False,
) -> None:
    """Pre-register a release: sign, before the run, what it will be judged by and made from.

    Commit the file. Where one exists, shows what changed since; a demand that became looser is refused (status 1)
    unless it has a new id or the version of its spec was raised.
    """
    from refute.attest import default_key_directory, development_key
    from refute.attest.signing_key import open_signing_key
    from refute.falsifier.loading import load_registry
    from refute.lock.make import lock_release, stamp_lock
    from refute.spec.policy import load_policy
    from refute.spec.selection import select

    if policy is not None:
        load_policy(policy)  # a file that is no policy would be found out when the run is judged
    loaded, found = select(release, specs or [SPECS], named=specs)
    named = key or str(development_key(default_key_directory())[0])
    try:
        locked = lock_release(
            loaded,
            found,
            load_registry(folders(falsifiers, FALSIFIERS)),
            open_signing_key(named, public_key, passphrase_file),
            out=out,
            policy=policy,
            trusted_keys=read_keys(lock_key or ()),
            store=store_folder(refute_dir),
        )
    except LooseningError as error:
        _show_refusal(error, as_json=as_json)
        raise typer.Exit(Status.FAILED) from error
    stamp = stamp_lock(locked.path, timestamp) if timestamp else None
    if as_json:
        print_json(_as_json(locked, stamp), sort_keys=True)
    else:
        _show(locked, stamp, _gate_command(release, key))


def _show(locked: Locked, stamp: Path | None, gate: str) -> None:
    for line in change_table(locked.changes):
        typer.echo(line)
    signed = locked.signed
    state = "locked" if locked.written else "locked already, and nothing changed"
    typer.echo(f"{state}: {locked.path}, number {signed.lock.sequence}, payload {signed.payload_sha256}")
    typer.echo(f"signed by key {signed.key_id}")
    if signed.lock.known_before:
        typer.echo(f"note: measured before this lock: {', '.join(signed.lock.known_before)}")
    if stamp is not None:
        typer.echo(f"timestamped: {stamp}")
    if locked.written:
        typer.echo(f"next: commit {locked.path}{f' and {stamp}' if stamp else ''}, then {gate}")


def _show_refusal(error: LooseningError, *, as_json: bool) -> None:
    if as_json:
        refused = [asdict(change) for change in error.changes]
        print_json({"written": False, "status": int(Status.FAILED), "refused": refused})
    else:
        for line in change_table(error.changes):
            typer.echo(line)
    typer.echo(f"refute: {error}\nhint: {error.hint}", err=True)


def _gate_command(release: Path | None, key: str | None) -> str:
    """The command that runs what was locked, signed so that the lock is believed."""
    named = f" --release {release}" if release else ""
    return f"pytest --falsifiers{named}" if key is None else f"refute gate{named} --signing-key {key}"


def _as_json(locked: Locked, stamp: Path | None) -> dict[str, object]:
    signed = locked.signed
    return {
        "lock": str(locked.path),
        "written": locked.written,
        "payload_sha256": signed.payload_sha256,
        "key_id": signed.key_id,
        "sequence": signed.lock.sequence,
        "predecessor": signed.lock.predecessor,
        "known_before": list(signed.lock.known_before),
        "changes": [asdict(change) for change in locked.changes],
        "timestamp": None if stamp is None else str(stamp),
    }
