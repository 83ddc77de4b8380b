"""The command line: read arguments, call one function, print, set the exit status. The only file that exits.

Exit status: 0 done, or GO / WARN; 1 NO-GO, or problems found; 2 usage or unreadable input; 3 WARN with
--fail-on-warn; 4 not verifiable; 5 stale or about another subject; 128 + n stopped by signal n.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any, NoReturn

import typer

from refute.cli.commands.check import check
from refute.cli.commands.controls import controls
from refute.cli.commands.diff import diff
from refute.cli.commands.gate import gate
from refute.cli.commands.init import init
from refute.cli.commands.judge import judge
from refute.cli.commands.keygen import keygen
from refute.cli.commands.lock import lock
from refute.cli.commands.report import report
from refute.cli.commands.review import review
from refute.cli.commands.sign_off import sign_off
from refute.cli.commands.status import status
from refute.cli.commands.verify import verify
from refute.cli.distill.app import app as distill
from refute.cli.eval.app import app as evaluation
from refute.cli.exit_status import exit_status
from refute.cli.store.app import app as store
from refute.errors import RefuteError, StoppedError, UsageError

app = typer.Typer(
    name="refute",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # the other modes keep the line ends of a docstring
    add_completion=False,
    pretty_exceptions_enable=False,
)


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


# In this order `refute --help` lists them.
_COMMANDS: dict[str, Callable[..., None]] = {
    "init": init,
    "check": check,
    "gate": gate,
    "keygen": keygen,
    "judge": judge,
    "verify": verify,
    "lock": lock,
    "sign-off": sign_off,
    "report": report,
    "diff": diff,
    "controls": controls,
    "review": review,
    "status": status,
}
_GROUPS = {"distill": distill, "eval": evaluation, "store": store}
# What `refute gate` does not know is pytest's.
_SETTINGS: dict[str, dict[str, Any]] = {
    "gate": {
        "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
        "options_metavar": "[OPTIONS] [OPTIONS OF PYTEST]",
    }
}
for _name, _command in _COMMANDS.items():
    app.command(_name, **_SETTINGS.get(_name, {}))(_command)
for _name, _group in _GROUPS.items():
    app.add_typer(_group, name=_name)


def _fail(error: RefuteError) -> NoReturn:
    if isinstance(error, StoppedError) and os.environ.get("RANK", "0") != "0":
        sys.exit(128 + error.signal)  # the first rank says it for all
    text = f"refute: {error}" + (f"\nhint: {error.hint}" if error.hint else "")
    if not text.replace("\n", "").isprintable():  # it may quote what a stranger wrote, or a file name that is no text
        from refute.escaping import visible

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
