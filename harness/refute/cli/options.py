"""Options that commands share: each an annotated type, so that one name, one flag and one help text go together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

# Output.
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

# What ends well.
AcceptWarn = Annotated[bool, typer.Option("--accept-warn", help="WARN is good enough: end in 0, not in 3.")]

# Where things lie. The defaults are in spec/folders.py.
RefuteDir = Annotated[Path, typer.Option("--refute-dir", help="Where runs and evidence are kept.")]
SpecsFolder = Annotated[Path, typer.Option("--specs", help="The folder of specs.")]

FalsifierFolders = Annotated[
    list[Path] | None, typer.Option("--falsifiers", help="Folders with falsifiers (default: falsifiers).")
]

# Keys: to sign with, and to trust.
SigningKey = Annotated[
    str | None,
    typer.Option("--key", help="Private key that signs: a PEM file or a URI (default: a development key)."),
]

PublicKey = Annotated[Path | None, typer.Option(help="The public half of a key that is named by a URI (PEM).")]

PassphraseFile = Annotated[
    Path | None,
    typer.Option(help="File with the key's passphrase (else $REFUTE_KEY_PASSPHRASE, else you are asked)."),
]

TrustedKeys = Annotated[list[Path], typer.Option("--key", help="A public key that you trust; repeatable.")]

LockKeys = Annotated[
    list[Path] | None,
    typer.Option("--lock-key", help="Public key that may sign the lock (default: the one that judges)."),
]

Timestamp = Annotated[
    str | None,
    typer.Option("--timestamp", metavar="URL", help="Have this RFC 3161 authority say when it saw what is signed."),
]


@dataclass(frozen=True, slots=True)
class JudgingOptions:
    """What a judge goes by beside the run."""

    lock_key: LockKeys = None
    waivers: Annotated[Path | None, typer.Option("--waivers", help="YAML file with waivers.")] = None
    policy: Annotated[Path | None, typer.Option("--policy", help="Policy that says who may waive.")] = None
    sequence: Annotated[
        int | None,
        typer.Option(
            "--sequence", help="Number of this verdict (default: one more than the last on its release).", min=1
        ),
    ] = None
    timestamp: Timestamp = None
    specs: Annotated[
        list[Path] | None,
        typer.Option("--specs", help="Your own specs and releases, files or folders: the run's must be these."),
    ] = None


# How fresh and how well signed a verdict must be.
At = Annotated[
    str | None, typer.Option("--at", help="Judge freshness as of this moment, such as 2026-01-31T12:00:00Z.")
]

Threshold = Annotated[int, typer.Option(help="How many different trusted keys must have signed.", min=1)]

MinSequence = Annotated[
    int | None, typer.Option(help="Refuse a verdict with a lower number: a newer one is known.", min=1)
]

MinSpecVersion = Annotated[
    list[str] | None,
    typer.Option(metavar="ID=N", help="Refuse a verdict under an older version of this spec; repeatable."),
]
