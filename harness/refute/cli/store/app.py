"""`refute store …`: what a store holds, what can go, and what travels to other machines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.console import print_json, progress
from refute.cli.options import Json, RefuteDir
from refute.cli.store.show import inventory_as_json, pruned_as_json, show_imported, show_inventory, show_pruned
from refute.errors import UsageError
from refute.spec.folders import REFUTE_DIR, runs_folder, store_folder

if TYPE_CHECKING:
    from refute.evidence.store import Store
    from refute.evidence.store.prune import Pruned
    from refute.evidence.store.remote import Remote
    from refute.judge.run.citing import CitingRun

Report = Callable[[int, int], None]

app = typer.Typer(no_args_is_help=True, help="List, clean, pack and take in evidence.")

StorePlace = Annotated[
    str | None, typer.Option("--store", help="The evidence store, a folder or a URL (default: <refute-dir>/store).")
]


@app.command("list")
def list_evidence(store: StorePlace = None, refute_dir: RefuteDir = REFUTE_DIR, as_json: Json = False) -> None:
    """Show the evidence in a store: name, size, age, key, and which runs cite it."""
    from refute.evidence.store import Store
    from refute.evidence.store.inventory import take_inventory
    from refute.evidence.store.opening import is_url
    from refute.judge.run.citing import citing_runs

    if store is not None and is_url(store):
        place, inventory = store, take_inventory(_connected(store))
    else:
        folder = _existing(store, refute_dir)
        place, inventory = str(folder), take_inventory(Store(folder))
    runs = citing_runs(runs_folder(refute_dir))
    if as_json:
        print_json(inventory_as_json(place, inventory, runs))
    else:
        show_inventory(place, inventory, runs)


@app.command("prune")
def prune_store(
    keep_runs: Annotated[
        int | None, typer.Option(help="Keep what the newest N runs cite (default: what any run cites).", min=0)
    ] = None,
    older_than: Annotated[
        float, typer.Option(metavar="DAYS", help="Remove only evidence that is older.", min=0, max=36_500)
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and remove nothing.")] = False,
    store: StorePlace = None,
    refute_dir: RefuteDir = REFUTE_DIR,
    as_json: Json = False,
) -> None:
    """Remove evidence that no kept run cites, and what is left over from unfinished work.

    What is younger than an hour stays, and what such a run cites; while a gate uses the store, nothing is removed. Run
    folders and their verdicts stay: the evidence of a run that is not kept can no longer be hashed again. At a URL no
    evidence goes, for the runs of others are not known here: only uploads that died, and locks that expired.
    """
    from refute.evidence.store.opening import is_url

    with progress(quiet=as_json) as report:

        def count(done: int, total: int) -> None:
            report("remove", done, total, {})

        if store is not None and is_url(store):
            pruned = _prune_remote(store, keep_runs, older_than, dry_run=dry_run, report=count)
        else:
            pruned = _prune_folder(
                _existing(store, refute_dir), refute_dir, keep_runs, older_than, dry_run=dry_run, report=count
            )
    if as_json:
        print_json(pruned_as_json(pruned, dry_run=dry_run))
    else:
        show_pruned(pruned, dry_run=dry_run)


def _prune_folder(
    place: Path, refute_dir: Path, keep_runs: int | None, older_than: float, *, dry_run: bool, report: Report
) -> Pruned:
    from refute.evidence.store import Store
    from refute.evidence.store.prune import YOUNG_S, Kept, prune
    from refute.judge.run.citing import citing_runs, kept_runs

    now = time.time()
    kept = kept_runs(citing_runs(runs_folder(refute_dir)), keep_runs, now - YOUNG_S)
    keep = Kept(
        digests=frozenset[str]().union(*(run.digests for run in kept)),
        objects=frozenset[str]().union(*(run.objects for run in kept)),
    )
    before = now - max(YOUNG_S, older_than * 86_400)
    return prune(Store(place), keep, before=before, dry_run=dry_run, report=report)


def _prune_remote(url: str, keep_runs: int | None, older_than: float, *, dry_run: bool, report: Report) -> Pruned:
    from refute.evidence.store.prune import prune_remote

    if keep_runs is not None or older_than:
        raise UsageError(
            "--keep-runs and --older-than do not go with a URL: which runs of others cite its evidence is not known",
            hint="leave them out, to remove what uploads that died have left",
        )
    return prune_remote(_connected(url), now=time.time(), dry_run=dry_run, report=report)


@app.command("export")
def export_archive(
    what: Annotated[
        list[str],
        typer.Argument(metavar="RUN|NAME...", help="Runs (id, folder, or `latest`) and evidence (name or key)."),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The tar file to make.")],
    store: StorePlace = None,
    refute_dir: RefuteDir = REFUTE_DIR,
    as_json: Json = False,
) -> None:
    """Pack runs, with their verdicts and the evidence that they cite, into one file to carry to another machine."""
    from refute.evidence.store.export import Packing, export
    from refute.evidence.store.shared import SharedStore

    opened = _opened(store, refute_dir)
    runs, keys = _found(what, opened, refute_dir)
    packing = Packing(
        runs={run.id: run.path for run in runs},
        digests=frozenset[str]().union(*(run.digests for run in runs)),
        objects=frozenset[str]().union(*(run.objects for run in runs)),
        keys=keys,
    )
    if isinstance(opened, SharedStore):
        opened.bring(packing.digests, packing.keys, packing.objects)
    with progress(quiet=as_json) as report:
        contents = export(opened, packing, to, lambda done, total: report("pack bytes", done, total, {}))
    if as_json:
        print_json({"archive": str(to), "runs": contents.runs, "keys": contents.keys, "bytes": contents.size})
    else:
        typer.echo(f"packed {len(contents.runs)} runs, {len(contents.keys)} pieces of evidence: {to}")
        typer.echo(f"next, on the other machine: refute store import {to.name}")


@app.command("import")
def import_into(
    file: Annotated[Path, typer.Argument(help="An archive that `refute store export` made.")],
    store: StorePlace = None,
    refute_dir: RefuteDir = REFUTE_DIR,
    as_json: Json = False,
) -> None:
    """Take runs and evidence of another machine in; every file is checked before the first of them appears.

    The verdicts among them are not verified: `refute verify` does that.
    """
    from refute.evidence.store.importing import import_archive
    from refute.evidence.store.opening import open_store
    from refute.evidence.store.shared import SharedStore

    place = store or str(store_folder(refute_dir))
    opened = open_store(place)
    _tell_untested(place)
    with progress(quiet=as_json) as report:
        taken = import_archive(
            opened, runs_folder(refute_dir), file, lambda done, total: report("take in bytes", done, total, {})
        )
    if isinstance(opened, SharedStore):
        opened.share(key for _, key in taken.evidence)
    if as_json:
        evidence = [{"name": name, "key": key} for name, key in taken.evidence]
        print_json({"store": place, "runs": taken.runs, "evidence": evidence})
    else:
        show_imported(taken, place, runs_folder(refute_dir))


def _found(what: Sequence[str], store: Store, refute_dir: Path) -> tuple[list[CitingRun], frozenset[str]]:
    """The runs and the keys of evidence that are named. Raises UsageError for a word that names neither."""
    from refute.evidence.store.export import keys_named
    from refute.judge.run.citing import citing_run

    runs: list[CitingRun] = []
    keys: set[str] = set()
    for text in what:
        folder = next(
            (path for path in (runs_folder(refute_dir) / text, Path(text)) if (path / "run.json").is_file()), None
        )
        if folder is not None:
            runs.append(citing_run(folder.resolve()))
        elif named := keys_named(store, text):
            keys |= named
        else:
            raise UsageError(
                f"no run below {runs_folder(refute_dir)} and no evidence in {store.root} is called {text!r}",
                hint="`refute store list` shows both",
            )
    return runs, frozenset(keys)


def _connected(url: str) -> Remote:
    """The store at `url`. Raises EvidenceError where there is none: to look at a store must not make one."""
    from refute.evidence.store.opening import connect

    remote = connect(url)
    remote.require()
    _tell_untested(url)
    return remote


def _tell_untested(place: str) -> None:
    from refute.evidence.store.opening import untested

    if (note := untested(place)) is not None:
        typer.echo(f"note: {note}", err=True)


def _opened(store: str | None, refute_dir: Path) -> Store:
    """The store that is there already, in a folder or at a URL. Raises as `_connected` and `_existing` do."""
    from refute.evidence.store.opening import is_url, open_store

    if store is None or not is_url(store):
        return open_store(_existing(store, refute_dir))
    _connected(store)
    return open_store(store)


def _existing(store: str | None, refute_dir: Path) -> Path:
    """The store's folder. Raises UsageError where there is none: to look at a store must not make one."""
    from refute.evidence.store.layout import MARKER

    place = Path(store or store_folder(refute_dir))
    if not (place / MARKER).is_file():
        raise UsageError(
            f"there is no evidence store at {place}: it has no {MARKER}", hint="name one with --store or --refute-dir"
        )
    return place
