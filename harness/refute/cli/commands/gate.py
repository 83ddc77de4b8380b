"""`refute gate`: pytest --falsifiers, then the judge, with a key that pytest never learns of; and `refute dogfood`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.commands.groups import grouped
from refute.cli.console import print_json
from refute.cli.exit_statuses import Status, status_of_ruling
from refute.cli.options import AcceptWarn, Json, JudgingOptions, RefuteDir
from refute.outcome import Ruling
from refute.spec.folders import REFUTE_DIR, SPECS

if TYPE_CHECKING:
    from refute.gate.command import Gated
    from refute.judge.predicate.exhibits import Section


@grouped
def gate(
    context: typer.Context,
    judged_by: JudgingOptions,
    release: Annotated[
        list[Path] | None,
        typer.Option(
            help="The release to judge (default: specs/releases/embedded.yaml, or the only one there). Repeatable: "
            "each begins once the one before it is GO."
        ),
    ] = None,
    signing_key: Annotated[Path | None, typer.Option(help="Private key (default: a development key).")] = None,
    accept_warn: AcceptWarn = False,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="End in 0 once a verdict is signed, whatever it says.")
    ] = False,
    refute_dir: RefuteDir = REFUTE_DIR,
    network: Annotated[
        bool, typer.Option("--network", help="Let pytest use the network (default: where the release needs it).")
    ] = False,
    writable: Annotated[
        list[Path] | None,
        typer.Option(help="A folder, beside this one, that pytest may write to; repeatable."),
    ] = None,
) -> None:
    """Run the gate: distil, try to refute, judge, sign. Further arguments go to pytest.

    Ends in 0 for GO, 1 for NO-GO, 3 for WARN; in other statuses where no verdict was signed. pytest never learns of the
    signing key: the judge is started from here, after pytest has ended. On Linux it runs in namespaces of its own where
    the machine has them: this folder, evidence, caches and /tmp can be written, specifications and falsifiers cannot.
    """
    from refute.gate.command import run_gate
    from refute.gate.judging import JudgeOptions
    from refute.gate.pytest_process import Access

    judging = JudgeOptions(
        refute_dir,
        signing_key,
        judged_by.lock_key or (),
        judged_by.waivers,
        judged_by.policy,
        judged_by.sequence,
        judged_by.specs or (),
        judged_by.timestamp,
    )
    status = Status.DONE
    releases: Sequence[Path | None] = release or [None]
    for number, file in enumerate(releases, start=1):
        ended = run_gate(file, context.args, judging, Access(network, writable or ()))
        status = _status(ended, accept_warn=accept_warn, exit_zero=exit_zero)
        if status is not Status.DONE or ended.signed.ruling is not Ruling.GO:
            _say_what_waits(releases[number:], ended)
            break
    raise typer.Exit(status)


def dogfood(
    release: Annotated[Path, typer.Argument(help="A release with `dogfood`: refute itself is judged.")] = SPECS
    / "releases"
    / "dogfood.yaml",
    signing_key: Annotated[Path | None, typer.Option(help="Private key (default: a development key).")] = None,
    accept_warn: AcceptWarn = False,
    refute_dir: RefuteDir = REFUTE_DIR,
    as_json: Json = False,
) -> None:
    """Have refute judge itself: each of its commands and options, and builds of it that were sabotaged.

    The gate over a release with `dogfood`; prints nine sections of what was found, and of some that they were not run.
    Ends as `refute gate` does.
    """
    from refute.errors import UsageError
    from refute.gate.command import run_gate
    from refute.gate.judging import JudgeOptions
    from refute.spec.files import load_release

    if load_release(release).release.dogfood is None:
        raise UsageError(f"{release} has no `dogfood`: it is not about refute", hint="refute gate judges it")
    with _beside_the_output(beside=as_json):
        ended = run_gate(release, [], JudgeOptions(refute_dir, signing_key))
    sections = ended.signed.predicate.exhibits.sections
    if as_json:
        shown = [each.model_dump() for each in sections]
        print_json({"verdict": str(ended.signed.ruling), "path": str(ended.signed.verdict), "sections": shown})
    else:
        for section in sections:
            _show(section)
    raise typer.Exit(_status(ended, accept_warn=accept_warn, exit_zero=False))


@contextmanager
def _beside_the_output(*, beside: bool) -> Iterator[None]:
    """What the gate says, and pytest in its process, goes to standard error where the output is for programs."""
    if not beside:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _show(section: Section) -> None:
    typer.echo(f"\n{section.number}. {section.title}: {section.state.replace('_', ' ')}")
    for line in filter(None, (section.note, *(f"{each.label}: {each.value}" for each in section.facts), section.text)):
        typer.echo(f"   {line}")


def _status(ended: Gated, *, accept_warn: bool, exit_zero: bool) -> Status:
    status = status_of_ruling(ended.signed.ruling, accept_warn=accept_warn)
    if exit_zero and status is not Status.DONE:
        typer.echo(f"{ended.signed.ruling}: signed, and so this command ends in 0 (--exit-zero)", err=True)
        status = Status.DONE
    return _status_of_pytest(ended) if status is Status.DONE else status


def _say_what_waits(releases: Sequence[Path | None], ended: Gated) -> None:
    for path in releases:
        typer.echo(f"not begun: {path}, which comes after a GO, and this is {ended.signed.ruling}", err=True)


def _status_of_pytest(ended: Gated) -> Status:
    """What failed beside the falsifiers keeps its say: no verdict speaks for it."""
    if not ended.pytest:
        return Status.DONE
    typer.echo(f"but pytest ended with status {ended.pytest}: something else than a falsifier failed", err=True)
    return Status.FAILED if ended.pytest == 1 else Status.COULD_NOT_RUN
