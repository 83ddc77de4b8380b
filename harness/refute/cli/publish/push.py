"""`refute publish push`: a staged release to a hub, once, and checked by what comes back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.console import print_json, progress
from refute.cli.options import AcceptWarn, Json
from refute.errors import PublicationRefusedError, UsageError

if TYPE_CHECKING:
    from refute.engines.publish.push import StagedRelease
    from refute.job import ProgressCallback
    from refute.spec.experiments.evidence.publication import Pushed
    from refute.spec.publication import Repository

_LOOPBACK = ("http://127.0.0.1:", "http://localhost:", "http://[::1]:")


def push(
    staged: Annotated[Path, typer.Argument(help="What `refute publish stage` has made.")],
    to: Annotated[
        str | None, typer.Option("--to", metavar="ORG/NAME", help="Another repository than the release's own.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the files and say what would be done; nobody is asked.")
    ] = False,
    accept_warn: AcceptWarn = False,
    accept_no_go: Annotated[
        bool, typer.Option("--accept-no-go", help="Publish a release that was refuted; its verdict goes with it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Publish a staged release: one commit on a branch of its own, pulled back and hashed, then a tag, then main.

    Of a rehearsal, and of a release whose specs could not refute its files, card or licence, nothing is published.
    Call it again after anything: what is done is found. The token comes from HF_TOKEN or `hf auth login`, the hub from
    HF_ENDPOINT. Nothing is ever deleted, moved or forced.
    """
    from refute.cli.publish.judged import KEY, read_judged
    from refute.engines.publish.lay_out import check
    from refute.engines.publish.push import names_of
    from refute.spec.publication import VERDICT

    release = _staged_in(staged)
    judged = read_judged(release.folder / VERDICT, staged / KEY)
    judged.require(release.folder, {each.path: each.sha256 for each in release.files})
    judged.require_publication()
    _require_ruling(judged.ruling, accept_warn=accept_warn, accept_no_go=accept_no_go)
    repository = judged.repository(to)
    with progress(quiet=as_json) as report:
        if dry_run:
            check(release, report)
            names = names_of(release)
            plan = {"repo": repository.repo, "digest": release.digest, "branch": names.branch, "tag": names.tag}
            found = {"published": False, **plan, "files": len(release.files), "size": release.size}
        else:
            found = {"published": True, **_push(release, repository, staged / "pull", report).as_json()}
    if as_json:
        print_json({**found, "consumers_required": judged.consumers})
        return
    typer.echo("would be published, all files are as staged:" if dry_run else "published:")
    for name, value in found.items():
        if name != "published":
            typer.echo(f"  {name:8} {value}")
    if judged.consumers:
        typer.echo(f"its policy demands {judged.consumers} independent consumers: refute consume, with their own keys")


def _staged_in(place: Path) -> StagedRelease:
    """What was staged there. Raises UsageError where nothing was."""
    from refute.engines.publish.push import StagedRelease
    from refute.spec.experiments.evidence_files import MANIFEST

    if not (place / MANIFEST.name).is_file():
        raise UsageError(f"{place} holds no staged release", hint="make one: refute publish stage RUN")
    return StagedRelease.read(place)


def _push(release: StagedRelease, repository: Repository, scratch: Path, report: ProgressCallback) -> Pushed:
    from refute.engines.publish.hub import HubRepository, Patience, speak_plainly
    from refute.engines.publish.push import push as push_release

    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        raise UsageError("HF_HUB_OFFLINE is set: no hub may be asked", hint="unset it, or look with --dry-run")
    endpoint = os.environ.get("HF_ENDPOINT")
    speak_plainly(loopback=(endpoint or "").startswith(_LOOPBACK))
    hub = HubRepository(repository.repo, endpoint=endpoint, patience=Patience())
    return push_release(release, hub, repository, scratch, report)


def _require_ruling(ruling: str, *, accept_warn: bool, accept_no_go: bool) -> None:
    """Raises PublicationRefusedError for a release that was not judged GO, unless that was accepted."""
    accepted = {"GO", *(["WARN"] if accept_warn or accept_no_go else []), *(["NO-GO"] if accept_no_go else [])}
    if ruling not in accepted:
        option = "--accept-warn" if ruling == "WARN" else "--accept-no-go"
        raise PublicationRefusedError(
            f"this release was judged {ruling}",
            hint=f"mend what its report says, or publish it all the same with {option}",
        )
