"""The command line: read arguments, call one function, print, set the exit status. The only file that exits.

Exit status: 0 done, or GO / WARN; 1 NO-GO, or problems found; 2 usage or unreadable input; 3 WARN with
--fail-on-warn; 4 not verifiable; 5 stale or about another subject; 128 + n stopped by signal n.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from refute._cli_controls import controls as controls_command
from refute._cli_distill import app as distill_app
from refute._cli_eval import app as eval_app
from refute._cli_lock import lock
from refute._cli_review import diff, report, show
from refute._cli_sign_off import PassphraseFile, PublicKey, sign_off
from refute._cli_trace import review, status
from refute._cli_verify import exit_status, read_keys, require_paths, verify
from refute.errors import RefuteError, StoppedError, UsageError

NO_GO, WARNED = 1, 3

app = typer.Typer(
    name="refute",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # the other modes keep the line ends of a docstring
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
RefuteDir = Annotated[Path, typer.Option("--refute-dir", help="Where runs and evidence are kept.")]
_REFUTE_DIR = Path(".refute")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"refute {version('refute')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Release gates for distilled language models that try to prove the model is not ready."""


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="An empty folder, or one without specs/.")] = Path(),
    as_json: Json = False,
) -> None:
    """Scaffold a working example: specs/, falsifiers/, a release, and evidence to judge."""
    from refute.scaffold import scaffold

    written = scaffold(folder)
    if as_json:
        typer.echo(json.dumps({"written": [str(path) for path in written]}, indent=1))
        return
    for path in written:
        typer.echo(f"wrote {path}")
    typer.echo("next: pytest --falsifiers")


@app.command()
def check(
    paths: Annotated[list[Path] | None, typer.Argument(help="Spec files or folders (default: specs).")] = None,
    falsifiers: Annotated[
        list[Path] | None, typer.Option(help="Folders with falsifiers (default: falsifiers).")
    ] = None,
    docs: Annotated[
        list[Path] | None,
        typer.Option(help="Texts whose ids must be known (default: README.md, ARCHITECTURE.md, docs/ beside specs)."),
    ] = None,
    contract_folders: Annotated[
        list[Path] | None, typer.Option("--contract-folder", help="Folders with contracts (default: contracts).")
    ] = None,
    contracts: Annotated[
        bool,
        typer.Option("--contracts", help="Also run every property of the contracts, on the engines and on mutants."),
    ] = False,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Also show which falsifiers, controls and contracts stand behind a claim.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check specs, releases, falsifiers and contracts against each other. Loads no model.

    With --contracts, HYPOTHESIS_PROFILE=deep tries 300 random examples a property instead of 50.
    """
    from refute.checking import check_files
    from refute.trace_matrix import matrix_of

    paths = paths or [Path("specs")]
    falsifiers = falsifiers or [folder for folder in (Path("falsifiers"),) if folder.exists()]
    contract_folders = contract_folders or [folder for folder in (Path("contracts"),) if folder.exists()]
    found = check_files(
        paths,
        falsifiers,
        contract_folders,
        documents=docs,
        run_contracts=contracts,
        told=lambda attempt: typer.echo(attempt.line(), err=True),
    )
    rows = matrix_of(paths, falsifiers, contract_folders) if matrix and not found.problems else ()
    if as_json:
        shown = {"matrix": [row.as_json() for row in rows]} if matrix else {}
        typer.echo(json.dumps({**found.as_json(), **shown}, indent=1))
    else:
        for line in (*(row.line() for row in rows), *found.lines()):
            typer.echo(line)
    raise typer.Exit(NO_GO if found.problems else 0)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    options_metavar="[OPTIONS] [OPTIONS OF PYTEST]",
)
def gate(
    context: typer.Context,
    release: Annotated[
        Path | None,
        typer.Option(help="The release to judge (default: specs/releases/embedded.yaml, or the only one there)."),
    ] = None,
    signing_key: Annotated[Path | None, typer.Option(help="Private key (default: a development key).")] = None,
    lock_key: Annotated[
        list[Path] | None, typer.Option(help="Public key that may sign the lock (default: the one that judges).")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail unless the verdict is GO or WARN.")] = False,
    refute_dir: RefuteDir = _REFUTE_DIR,
) -> None:
    """Run the gate: distil, try to refute, judge, sign. Further arguments go to pytest.

    Succeeds once a verdict is signed, whatever it says; what stops it from getting there is a failure. pytest never
    learns of the signing key: the judge is started from here, after pytest has ended.
    """
    from refute.gate_command import run_gate

    arguments = [*(["--release", str(release)] if release else []), *context.args]
    raise typer.Exit(run_gate(refute_dir, arguments, key=signing_key, lock_keys=lock_key or [], strict=strict))


@app.command()
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
        shown = {"private_key": str(pair.private), "public_key": str(pair.public), "key_id": identity}
        typer.echo(json.dumps(shown, indent=1))
    else:
        typer.echo(f"private key: {pair.private}\npublic key:  {pair.public}\nkey id:      {identity}")


@app.command(name="judge")
def judge_command(
    run: Annotated[str, typer.Argument(help="A run folder, its id, or `latest`.")] = "latest",
    key: Annotated[
        str | None, typer.Option(help="Private key: a PEM file or a URI (default: a development key).")
    ] = None,
    public_key: PublicKey = None,
    passphrase_file: PassphraseFile = None,
    waivers: Annotated[Path | None, typer.Option(help="YAML file with waivers.")] = None,
    lock_key: Annotated[
        list[Path] | None, typer.Option(help="Public key that may sign the lock (default: the one that judges).")
    ] = None,
    sequence: Annotated[
        int | None,
        typer.Option(help="Number of this verdict (default: one more than the last on this release).", min=1),
    ] = None,
    falsifiers: Annotated[
        list[Path] | None, typer.Option(help="Your own folders with falsifiers (default: those that the run names).")
    ] = None,
    specs: Annotated[
        list[Path] | None, typer.Option(help="Your own specs and releases, files or folders: the run's must be these.")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="Where the evidence lies now, if it was moved.")] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy that says who may waive.")] = None,
    fail_on_warn: Annotated[bool, typer.Option("--fail-on-warn", help="Exit 3 for WARN.")] = False,
    refute_dir: RefuteDir = _REFUTE_DIR,
    as_json: Json = False,
) -> None:
    """Measure a run again from its evidence, judge its records, sign the verdict, and write its reports.

    Needs the run's folder, store and falsifiers, but not the machine that it was made on.
    """
    from refute.attest import default_key_directory, development_key, load_private_key
    from refute.judging import judge_run
    from refute.policy_file import load_policy
    from refute.remeasure import falsifiers_of
    from refute.run_folder import open_run
    from refute.sequencing import miscited
    from refute.signing_key import open_signing_key
    from refute.step_summary import append_step_summary
    from refute.waiver_file import WaiverFile, load_waivers

    require_paths([*(falsifiers or ()), *(specs or ()), *([store] if store else ())])
    folder = open_run(run, refute_dir)
    if key is None:
        path, created = development_key(default_key_directory())
        if created:
            typer.echo(f"made a development key: {path} (for a release, use your own: refute keygen NAME)", err=True)
        private = load_private_key(path)
    else:
        path = Path(key)
        private = open_signing_key(key, public_key, passphrase_file)
    judged = judge_run(
        folder,
        private,
        development=key is None,
        waivers=load_waivers(waivers) if waivers else WaiverFile(),
        policy=load_policy(policy) if policy else None,
        lock_keys=read_keys(lock_key or ()),
        sequence=sequence,
        falsifiers=falsifiers or falsifiers_of(folder),
        store=store,
        specs_and_releases=specs,
        found=miscited(folder.read_run(), specs),
    )
    if left_out := append_step_summary(judged.predicate, judged.payload_sha256, os.environ):
        typer.echo(left_out, err=True)
    verdict = judged.predicate.verdict
    if as_json:
        typer.echo((folder.path / "report.json").read_text(encoding="utf-8"), nl=False)
    else:
        show(judged.predicate, judged.payload_sha256)
        typer.echo(f"\nverdict  {judged.path}\nreport   {folder.path / 'report.html'}")
        own = public_key or path.with_suffix(".pub")
        trusted = own if own.is_file() else folder.path / "verifier.pem"
        typer.echo(f"verify   refute verify {_near(judged.path)} --key {_near(trusted)}")
    status = {"GO": 0, "WARN": WARNED if fail_on_warn else 0, "NO-GO": NO_GO}
    raise typer.Exit(status[verdict.ruling])


# In this order, after those above, `refute --help` lists them.
app.command()(verify)
app.command()(lock)
app.command(name="sign-off")(sign_off)
app.command()(report)
app.command()(diff)
app.command(name="controls")(controls_command)
app.command()(review)
app.command()(status)
app.add_typer(distill_app, name="distill")
app.add_typer(eval_app, name="eval")


def _near(path: Path) -> str:
    """The path from here when it lies below, for a command that can be pasted."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _fail(error: RefuteError) -> NoReturn:
    if isinstance(error, StoppedError) and os.environ.get("RANK", "0") != "0":
        sys.exit(128 + error.signal)  # the first rank says it for all
    text = f"refute: {error}" + (f"\nhint: {error.hint}" if error.hint else "")
    if not text.replace("\n", "").isprintable():  # it may quote what a stranger wrote, or a file name that is no text
        from refute.report.escaping import visible

        text = visible(text)
    typer.echo(text, err=True)
    if isinstance(error, StoppedError):
        sys.exit(128 + error.signal)
    sys.exit(exit_status(error))


def main() -> None:
    """Run the command line; every deliberate error, and a file that the system refuses, ends in one message."""
    try:
        app()
    except RefuteError as error:
        _fail(error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(UsageError(f"{where}{error.strerror or error}", hint="check the path, its permissions and the disk"))


if __name__ == "__main__":
    main()
