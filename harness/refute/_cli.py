"""The command line: read arguments, call one function, print, set the exit status. The only file that exits.

Exit status: 0 done, or GO / WARN; 1 NO-GO, or problems found; 2 usage or unreadable input; 3 WARN with
--fail-on-warn; 4 not verifiable; 5 stale or about another subject; 128 + n stopped by signal n.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from refute._cli_controls import controls as controls_command
from refute._cli_distill import app as distill_app
from refute._cli_eval import app as eval_app
from refute.errors import RefuteError, StaleVerdictError, StoppedError, VerificationError

if TYPE_CHECKING:
    from refute.predicate import Predicate
    from refute.waiver import Waiver

NO_GO, USAGE, WARNED, UNVERIFIABLE, STALE = 1, 2, 3, 4, 5

app = typer.Typer(
    name="refute",
    help="Release gates for distilled language models that try to prove the model is not ready.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(distill_app, name="distill")
app.add_typer(eval_app, name="eval")
app.command(name="controls")(controls_command)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
RefuteDir = Annotated[Path, typer.Option("--refute-dir", help="Where runs and evidence are kept.")]
_REFUTE_DIR = Path(".refute")


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="An empty folder, or one without specs/.")] = Path(),
) -> None:
    """Scaffold a working example: specs/, falsifiers/, a release, and evidence to judge."""
    from refute.scaffold import scaffold

    for path in scaffold(folder):
        typer.echo(f"wrote {path}")
    typer.echo("next: pytest --falsifiers")


@app.command()
def check(
    paths: Annotated[list[Path] | None, typer.Argument(help="Spec files or folders (default: specs).")] = None,
    falsifiers: Annotated[
        list[Path] | None, typer.Option(help="Folders with falsifiers (default: falsifiers).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check specs, releases and falsifiers against each other. Loads no model."""
    from refute.checking import check_files

    folders = falsifiers or [folder for folder in (Path("falsifiers"),) if folder.exists()]
    found = check_files(paths or [Path("specs")], folders)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1))
    else:
        for line in found.lines():
            typer.echo(line)
    raise typer.Exit(NO_GO if found.problems else 0)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def gate(
    context: typer.Context,
    release: Annotated[Path | None, typer.Option(help="The release to judge.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail unless the verdict is GO or WARN.")] = False,
    refute_dir: RefuteDir = _REFUTE_DIR,
) -> None:
    """Run the gate: distil, try to refute, judge, sign. Further arguments go to pytest.

    Succeeds once a verdict is signed, whatever it says; what stops it from getting there is a failure.
    """
    from refute.gate_command import run_gate

    arguments = [*(["--release", str(release)] if release else []), *context.args]
    raise typer.Exit(run_gate(refute_dir, arguments, strict=strict))


@app.command()
def keygen(
    name: Annotated[str, typer.Argument(help="Name of the key.")],
    directory: Annotated[Path | None, typer.Option(help="Where to put it (default: your key folder).")] = None,
) -> None:
    """Make an Ed25519 key pair for signing verdicts. Keep the private half out of the repository."""
    from refute.attest import default_key_directory, generate_key

    pair = generate_key(directory or default_key_directory(), name)
    typer.echo(f"private key: {pair.private}\npublic key:  {pair.public}")


@app.command(name="judge")
def judge_command(
    run: Annotated[str, typer.Argument(help="A run folder, its id, or `latest`.")] = "latest",
    key: Annotated[Path | None, typer.Option(help="Private key (default: a development key).")] = None,
    waivers: Annotated[Path | None, typer.Option(help="YAML file with waivers.")] = None,
    fail_on_warn: Annotated[bool, typer.Option("--fail-on-warn", help="Exit 3 for WARN.")] = False,
    refute_dir: RefuteDir = _REFUTE_DIR,
    as_json: Json = False,
) -> None:
    """Judge the records of a run, sign the verdict, and write its reports."""
    from refute.attest import default_key_directory, development_key, load_private_key
    from refute.judging import judge_run
    from refute.run_folder import open_run

    folder = open_run(run, refute_dir)
    if key is None:
        path, created = development_key(default_key_directory())
        if created:
            typer.echo(f"made a development key: {path} (for a release, use your own: refute keygen NAME)", err=True)
    else:
        path = key
    judged = judge_run(folder, load_private_key(path), development=key is None, waivers=_waivers(waivers))
    verdict = judged.predicate.verdict
    if as_json:
        typer.echo((folder.path / "report.json").read_text(encoding="utf-8"), nl=False)
    else:
        _show(judged.predicate, judged.payload_sha256)
        typer.echo(f"\nverdict  {judged.path}\nreport   {folder.path / 'report.html'}")
        typer.echo(f"verify   refute verify {_near(judged.path)} --key {_near(folder.path / 'verifier.pem')}")
    status = {"GO": 0, "WARN": WARNED if fail_on_warn else 0, "NO-GO": NO_GO}
    raise typer.Exit(status[verdict.ruling])


@app.command()
def verify(
    verdict: Annotated[Path, typer.Argument(help="verdict.intoto.json")],
    key: Annotated[list[Path], typer.Option(help="A public key that you trust; repeatable.")],
    model: Annotated[Path | None, typer.Option(help="The model folder or file that you have.")] = None,
    store: Annotated[Path | None, typer.Option(help="An evidence store, to hash its files again.")] = None,
    release: Annotated[str | None, typer.Option(help="The release id that you expect.")] = None,
    max_age_days: Annotated[int | None, typer.Option(help="Refuse an older verdict.", min=0)] = None,
    as_json: Json = False,
) -> None:
    """Check a verdict's signature, subject, evidence and age, and judge its records again."""
    from refute.verification import verify_verdict

    verified = verify_verdict(
        _read(verdict),
        [_read(path) for path in key],
        model=model,
        store=store,
        expected_release=release,
        max_age=None if max_age_days is None else timedelta(days=max_age_days),
    )
    ruling = str(verified.predicate.verdict.ruling)
    if as_json:
        shown = {"verdict": ruling, "payload_sha256": verified.payload_sha256, "checks": verified.checks}
        typer.echo(json.dumps(shown, indent=1))
        return
    typer.echo(f"authentic: {ruling} for {verified.predicate.release.id}, payload {verified.payload_sha256}")
    for line in verified.checks:
        typer.echo(f"  {line}")
    if verified.predicate.signer.development:
        typer.echo("  note: signed with a development key, which vouches for nobody")


@app.command()
def report(
    verdict: Annotated[Path, typer.Argument(help="verdict.intoto.json")],
    key: Annotated[list[Path], typer.Option(help="A public key that you trust; repeatable.")],
    output_format: Annotated[str, typer.Option("--format", help="terminal, md, html or json")] = "terminal",
) -> None:
    """Render a verdict that verifies; the document is derived from the signed payload alone."""
    from refute.errors import UsageError
    from refute.report import REPORTS
    from refute.verification import verify_verdict

    verified = verify_verdict(_read(verdict), [_read(path) for path in key])
    if output_format == "terminal":
        _show(verified.predicate, verified.payload_sha256)
    elif output_format in REPORTS:
        typer.echo(REPORTS[output_format].render(verified.predicate, verified.payload_sha256), nl=False)
    else:
        raise UsageError(f"no format {output_format!r}; there are: terminal, {', '.join(sorted(REPORTS))}")


def _show(predicate: Predicate, digest: str) -> None:
    from rich.console import Console

    from refute.report import render_terminal

    render_terminal(predicate, digest, Console())


def _waivers(path: Path | None) -> tuple[Waiver, ...]:
    if path is None:
        return ()
    from refute.strict_yaml import parse_yaml, read_text, validate
    from refute.waiver import Waivers

    return validate(parse_yaml(read_text(path), str(path)), Waivers).waivers


def _read(path: Path) -> bytes:
    from refute.errors import UsageError

    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error


def _near(path: Path) -> str:
    """The path from here when it lies below, for a command that can be pasted."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _fail(error: RefuteError) -> NoReturn:
    if isinstance(error, StoppedError) and os.environ.get("RANK", "0") != "0":
        sys.exit(128 + error.signal)  # the first rank says it for all
    typer.echo(f"refute: {error}" + (f"\nhint: {error.hint}" if error.hint else ""), err=True)
    if isinstance(error, StoppedError):
        sys.exit(128 + error.signal)
    stale = isinstance(error, StaleVerdictError)
    sys.exit(STALE if stale else UNVERIFIABLE if isinstance(error, VerificationError) else USAGE)


def main() -> None:
    """Run the command line; every deliberate error ends in one message and its exit status."""
    try:
        app()
    except RefuteError as error:
        _fail(error)


if __name__ == "__main__":
    main()
