"""`refute judge`: records to a signed verdict and its reports."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.arguments import read_keys, require_folders, require_store
from refute.cli.commands.groups import grouped
from refute.cli.console import print_document, print_verdict
from refute.cli.exit_statuses import status_of_ruling
from refute.cli.options import (
    AcceptWarn,
    Json,
    JudgingOptions,
    PassphraseFile,
    PublicKey,
    RefuteDir,
    SigningKey,
)
from refute.disk import working_in
from refute.errors import EvidenceError
from refute.isolation.containment import Containment
from refute.spec.folders import REFUTE_DIR

if TYPE_CHECKING:
    from refute.attest import PrivateKey
    from refute.judge.judge_run import Operator, Places
    from refute.judge.run.folder import RunFolder
    from refute.judge.sign import Judged


@dataclass(frozen=True, slots=True)
class Signing:
    """The key that signs."""

    key: SigningKey = None
    public_key: PublicKey = None
    passphrase_file: PassphraseFile = None

    def open(self) -> tuple[PrivateKey, Path]:
        """The key, and where its public half should lie; without a name the development key, made if need be."""
        from refute.attest import default_key_directory, development_key, load_private_key
        from refute.attest.signing_key import open_signing_key

        if self.key is not None:
            key = open_signing_key(self.key, self.public_key, self.passphrase_file)
            return key, self.public_key or Path(self.key).with_suffix(".pub")
        path, created = development_key(default_key_directory())
        if created:
            typer.echo(f"made a development key: {path} (for a release, use your own: refute keygen NAME)", err=True)
        return load_private_key(path), self.public_key or path.with_suffix(".pub")


@dataclass(frozen=True, slots=True)
class Moved:
    """Where things lie, if not where the run says."""

    falsifiers: Annotated[
        list[Path] | None, typer.Option(help="Your own folders with falsifiers (default: those that the run names).")
    ] = None
    store: Annotated[
        str | None, typer.Option(help="Where the evidence lies now, if it was moved: a folder or a URL.")
    ] = None


@grouped
def judge(
    signing: Signing,
    judged_by: JudgingOptions,
    moved: Moved,
    run: Annotated[
        str | None,
        typer.Argument(help="A run folder, its id, or `latest` (default: the newest that is not judged yet)."),
    ] = None,
    accept_warn: AcceptWarn = False,
    refute_dir: RefuteDir = REFUTE_DIR,
    answer_fd: Annotated[
        int | None, typer.Option(help="Say what was signed on this open descriptor, as the gate asks.", hidden=True)
    ] = None,
    contained: Annotated[
        Containment, typer.Option(help="How the gate that asks has contained pytest.", hidden=True)
    ] = Containment.NONE,
    as_json: Json = False,
) -> None:
    """Measure a run again from its evidence, judge its records, sign the verdict, and write its reports.

    Needs the run's folder, store and falsifiers, but not the machine that it was made on. A run may be judged again:
    the new verdict lies beside the others. Ends in 0 for GO, 1 for NO-GO, 3 for WARN.
    """
    from refute.judge.answer import send_answer
    from refute.judge.judge_run import judge_run
    from refute.judge.run.find_run import newest_unjudged, open_run
    from refute.report import write_reports
    from refute.report.step_summary import append_step_summary
    from refute.verify.required_verdicts import miscited

    _require_named(judged_by, moved)
    folder = newest_unjudged(refute_dir) if run is None else open_run(run, refute_dir)
    private, public = signing.open()
    operator = replace(_operator(private, judged_by, development=signing.key is None), pytest=contained)
    with working_in(folder.path):
        faults = miscited(folder.read_run(), judged_by.specs)
        judged = judge_run(folder, operator, _places(folder, judged_by, moved, signing.key), faults)
        write_reports(judged.predicate, judged.payload_sha256, judged.files)
    if answer_fd is not None:
        send_answer(answer_fd, judged.path, judged.predicate.verdict.ruling)
    _point_latest(folder, refute_dir)
    if left_out := append_step_summary(judged.predicate, judged.payload_sha256, os.environ):
        typer.echo(left_out, err=True)
    if as_json:
        print_document(judged.files.report("json").read_text(encoding="utf-8"))
    else:
        _show(judged, public if public.is_file() else judged.files.key)
    raise typer.Exit(status_of_ruling(judged.predicate.verdict.ruling, accept_warn=accept_warn))


def _require_named(judged_by: JudgingOptions, moved: Moved) -> None:
    """Raises UsageError or SpecError for a name at which there is nothing, or something else: no NO-GO follows."""
    from refute.judge.run.own_copies import require_copies

    require_folders(moved.falsifiers or ())
    require_copies(judged_by.specs or ())
    require_store(moved.store)


def _operator(key: PrivateKey, judged_by: JudgingOptions, *, development: bool) -> Operator:
    from refute.judge.judge_run import Operator
    from refute.spec.policy import load_policy
    from refute.spec.waiver import WaiverFile, load_waivers

    return Operator(
        key,
        development=development,
        policy=load_policy(judged_by.policy) if judged_by.policy else None,
        waivers=load_waivers(judged_by.waivers) if judged_by.waivers else WaiverFile(),
        lock_keys=read_keys(judged_by.lock_key or ()),
        sequence=judged_by.sequence,
        authority=judged_by.timestamp,
    )


def _places(folder: RunFolder, judged_by: JudgingOptions, moved: Moved, key: str | None) -> Places:
    from refute.judge.judge_run import Places
    from refute.judge.remeasure.measure_again import falsifiers_of

    own, secrets = moved.falsifiers or falsifiers_of(folder), () if key is None else (Path(key),)
    return Places(own, moved.store, specs_and_releases=judged_by.specs, secrets=secrets)


def _point_latest(folder: RunFolder, refute_dir: Path) -> None:
    """The verdict is signed: that its shortcut cannot be made is worth a note, and no more."""
    from refute.judge.run.find_run import point_latest

    try:
        point_latest(folder, refute_dir)
    except EvidenceError as error:
        typer.echo(f"note: {error}", err=True)


def _show(judged: Judged, trusted: Path) -> None:
    """The verdict, where its files lie, and the command that verifies it."""
    print_verdict(judged.predicate, judged.payload_sha256)
    typer.echo(f"\nverdict  {judged.path}\nreport   {judged.files.report('html')}")
    typer.echo(f"verify   refute verify {_near(judged.path)} --key {_near(trusted)}")


def _near(path: Path) -> str:
    """The path from here when it lies below, for a command that can be pasted."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
