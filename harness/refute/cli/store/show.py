"""What `refute store` prints, for people and for programs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from refute.escaping import one_line

if TYPE_CHECKING:
    from refute.evidence.store.importing import Imported
    from refute.evidence.store.inventory import Entry, Inventory
    from refute.evidence.store.prune import Pruned
    from refute.judge.run.citing import CitingRun


def _citing(entry: Entry, runs: Sequence[CitingRun]) -> list[str]:
    return [run.id for run in runs if entry.manifest.digest in run.digests]


def inventory_as_json(place: str, inventory: Inventory, runs: Sequence[CitingRun]) -> dict[str, Any]:
    """An inventory for programs: sizes in bytes, times in RFC 3339."""
    return {
        "store": place,
        "bytes": inventory.size,
        "shared_bytes": inventory.shared,
        "loose_bytes": inventory.loose,
        "evidence": [
            {
                "name": entry.manifest.name,
                "key": entry.key,
                "digest": entry.manifest.digest,
                "bytes": entry.size,
                "recorded_at": _moment(entry.recorded_at),
                "missing": entry.missing,
                "runs": _citing(entry, runs),
            }
            for entry in inventory.entries
        ],
    }


def show_inventory(place: str, inventory: Inventory, runs: Sequence[CitingRun]) -> None:
    """An inventory for people, one piece of evidence a line."""
    rows = [
        (
            one_line(entry.manifest.name) + (f" ({len(entry.missing)} files missing)" if entry.missing else ""),
            _size(entry.size),
            _age(entry.recorded_at),
            entry.key[:12],
            ", ".join(_citing(entry, runs)) or "no run",
        )
        for entry in inventory.entries
    ]
    for line in _aligned(rows):
        typer.echo(line)
    typer.echo(
        f"{len(rows)} pieces of evidence, {_size(inventory.size)} in {place}: {_size(inventory.shared)} shared by "
        f"several, {_size(inventory.loose)} named by none"
    )


def pruned_as_json(pruned: Pruned, *, dry_run: bool) -> dict[str, Any]:
    """What was removed, for programs."""
    return {
        "dry_run": dry_run,
        "bytes": pruned.size,
        "evidence": [{"name": name, "key": key} for name, key in pruned.evidence],
        "removed": {kind: len(paths) for kind, paths in pruned.paths.items()},
    }


def show_pruned(pruned: Pruned, *, dry_run: bool) -> None:
    """What was removed, for people."""
    for name, key in pruned.evidence:
        typer.echo(f"{one_line(name)}  {key[:12]}")
    counts = ", ".join(f"{len(paths)} {kind}" for kind, paths in pruned.paths.items())
    typer.echo(f"{'would remove' if dry_run else 'removed'} {counts}: {_size(pruned.size)}")


def show_imported(taken: Imported, store: str, runs: Path) -> None:
    """What was taken in, and what can be done with it."""
    for run in taken.runs:
        typer.echo(f"run {runs / run}")
    for name, key in taken.evidence:
        typer.echo(f"{one_line(name)}  {key[:12]}")
    typer.echo(f"took in {len(taken.runs)} runs, {len(taken.evidence)} pieces of evidence")
    if taken.runs:
        typer.echo(f"next: refute judge {runs / taken.runs[-1]} --store {store} --falsifiers FOLDER")


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns one below the other; sizes and ages, the second and third, to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.rjust(width) if column in (1, 2) else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _size(count: float) -> str:
    """Bytes, in the largest unit of which there is one."""
    steps: tuple[tuple[float, str], ...] = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
    return next((f"{count / step:.1f} {unit}" for step, unit in steps if count >= step), f"{count:.0f} B")


def _age(recorded_at: float | None) -> str:
    if recorded_at is None:
        return "?"
    seconds = max(time.time() - recorded_at, 0.0)
    steps: tuple[tuple[float, str], ...] = ((86_400, "d"), (3600, "h"), (60, "min"))
    return next((f"{seconds / step:.0f} {unit}" for step, unit in steps if seconds >= step), f"{seconds:.0f} s")


def _moment(recorded_at: float | None) -> str | None:
    from refute.spec.fields import utc_text

    return None if recorded_at is None else utc_text(datetime.fromtimestamp(recorded_at, UTC))
