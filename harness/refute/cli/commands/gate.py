"""`refute gate`: pytest --falsifiers, then the judge, with a key that pytest never learns of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refute.cli.options import LockKeys, RefuteDir
from refute.spec.folders import REFUTE_DIR


def gate(
    context: typer.Context,
    release: Annotated[
        Path | None,
        typer.Option(help="The release to judge (default: specs/releases/embedded.yaml, or the only one there)."),
    ] = None,
    signing_key: Annotated[Path | None, typer.Option(help="Private key (default: a development key).")] = None,
    lock_key: LockKeys = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail unless the verdict is GO or WARN.")] = False,
    refute_dir: RefuteDir = REFUTE_DIR,
) -> None:
    """Run the gate: distil, try to refute, judge, sign. Further arguments go to pytest.

    Succeeds once a verdict is signed, whatever it says; what stops it from getting there is a failure. pytest never
    learns of the signing key: the judge is started from here, after pytest has ended.
    """
    from refute.gate.command import run_gate

    arguments = [*(["--release", str(release)] if release else []), *context.args]
    raise typer.Exit(run_gate(refute_dir, arguments, key=signing_key, lock_keys=lock_key or [], strict=strict))
