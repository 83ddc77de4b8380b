"""`refute publish stage`: the files of a judged run as a hub is to hold them, with the verdict on them beside."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.console import print_json, progress
from refute.cli.options import Json, PassphraseFile, PublicKey, RefuteDir
from refute.disk import working_in
from refute.errors import UsageError
from refute.spec.folders import REFUTE_DIR, runs_folder

if TYPE_CHECKING:
    from refute.judge.run.folder import RunFolder
    from refute.judge.run.verdict_files import VerdictFiles


def stage(
    what: Annotated[
        str, typer.Argument(metavar="RELEASE|RUN", help="A judged run (id, folder or `latest`), or a release file.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to make.")] = Path("staged"),
    key: Annotated[
        str | None,
        typer.Option("--model-key", help="Sign the files for OpenSSF's readers, as model.sig: an EC key (PEM or URI)."),
    ] = None,
    public_key: PublicKey = None,
    passphrase_file: PassphraseFile = None,
    refute_dir: RefuteDir = REFUTE_DIR,
    as_json: Json = False,
) -> None:
    """Lay out what a run has judged: its staged files, the signed verdict, and a manifest of all of them."""
    from refute.attest.signing_key import open_signing_key
    from refute.cli.publish.judged import KEY, read_judged
    from refute.engines.publish.lay_out import lay_out
    from refute.judge.run.verdict_files import verdicts_in
    from refute.spec.experiments.evidence_files import STAGED
    from refute.spec.publication import VERDICT

    run = _run_of(what, refute_dir)
    staged, verdicts = run.read_evidence().get(STAGED), verdicts_in(run.path)
    if staged is None:
        raise UsageError(
            f"run {run.path.name} has staged nothing", hint="give its release a `publication`, and run the gate again"
        )
    if not verdicts:
        raise UsageError(f"run {run.path.name} is not judged", hint=f"refute judge {run.path.name}")
    newest = verdicts[-1]
    judged = read_judged(newest.verdict, newest.key)
    signer = open_signing_key(key, public_key, passphrase_file) if key is not None else None
    with working_in(out), progress(quiet=as_json) as report:
        made = lay_out(Path(staged.folder), {VERDICT: _bundled(newest)}, out, report, key=signer)
        shutil.copyfile(newest.key, out / KEY)
    judged.require(made.folder, {each.path: each.sha256 for each in made.files})
    if as_json:
        found = {"staged": str(out), "ruling": judged.ruling, "digest": made.digest, "files": len(made.files)}
        print_json({**found, "bytes": made.size})
        return
    typer.echo(f"staged {len(made.files)} files, {made.size} bytes: {out}")
    typer.echo(f"release {judged.release} {made.digest[:12]}, judged {judged.ruling} in run {run.path.name}")
    if judged.publication.hub is None:
        typer.echo("a rehearsal: to publish it, name a `hub` in the release and run the gate again")
    else:
        typer.echo(f"next: refute publish push {out} --dry-run")


def _bundled(newest: VerdictFiles) -> bytes:
    """The verdict as a Sigstore bundle, by the name of which every reader knows that it is no file of the model."""
    from refute.verify.export.formats import Exported, write_format
    from refute.verify.export.kinds import Format
    from refute.verify.timestamps import find_timestamps
    from refute.verify.verification import read_verdict, verify_verdict

    data, keys = read_verdict(newest.verdict), [newest.key.read_bytes()]
    verified = verify_verdict(data, keys)
    verdict = Exported(
        data, verified.predicate, verified.payload_sha256, keys, timestamps=find_timestamps(newest.verdict)
    )
    return write_format(verdict, Format.SIGSTORE)


def _run_of(what: str, refute_dir: Path) -> RunFolder:
    """The run that is named, or the newest judged one on the release in that file. Raises UsageError."""
    from refute.judge.run.find_run import open_run
    from refute.judge.run.folder import RunFolder
    from refute.judge.run.verdict_files import verdicts_in
    from refute.spec.files import load_release

    if not Path(what).is_file():
        return open_run(what, refute_dir)
    release = load_release(Path(what)).release.release
    paths = sorted((path.parent for path in runs_folder(refute_dir).glob("*/run.json")), reverse=True)
    runs = [RunFolder(path.resolve()) for path in paths if not path.is_symlink() and verdicts_in(path)]
    found = next((run for run in runs if run.read_run().release.id == release), None)
    if found is None:
        raise UsageError(
            f"no run below {runs_folder(refute_dir)} has judged {release}", hint=f"refute gate --release {what}"
        )
    return found
