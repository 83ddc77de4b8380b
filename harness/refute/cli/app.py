"""The tree of commands: what there is, in which order, under which name."""

from __future__ import annotations

import signal
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from refute.cli.commands.check import check
from refute.cli.commands.controls import controls
from refute.cli.commands.gate import dogfood, gate
from refute.cli.commands.init import init
from refute.cli.commands.judge import judge
from refute.cli.commands.locks.app import app as lock
from refute.cli.commands.power import power
from refute.cli.commands.rerun import rerun
from refute.cli.commands.review import review
from refute.cli.commands.status import status
from refute.cli.commands.try_one import try_one
from refute.cli.commands.verdicts.diff import diff
from refute.cli.commands.verdicts.export import export
from refute.cli.commands.verdicts.latest import latest
from refute.cli.commands.verdicts.report import report
from refute.cli.commands.verdicts.signing import countersign, keygen, sign_off
from refute.cli.commands.verdicts.verify import verify
from refute.cli.distill.app import app as distill
from refute.cli.eval.app import app as evaluation
from refute.cli.model.app import app as model
from refute.cli.publish.app import app as publish
from refute.cli.publish.consume import consume
from refute.cli.store.app import app as store
from refute.errors import StoppedError, UsageError


class _Commands(TyperGroup):
    """The commands, whose interruption is an error of ours: typer would end without a word, or in 1, which is NO-GO."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Raises StoppedError after a Ctrl-C, UsageError where a question found no answer."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise StoppedError("interrupted", signal.SIGINT) from error
        except EOFError as error:
            raise UsageError("standard input ended before it was answered", hint="run it in a terminal") from error


app = typer.Typer(
    name="refute",
    cls=_Commands,
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
    "power": power,
    "try": try_one,
    "gate": gate,
    "dogfood": dogfood,
    "keygen": keygen,
    "judge": judge,
    "verify": verify,
    "sign-off": sign_off,
    "countersign": countersign,
    "rerun": rerun,
    "consume": consume,
    "report": report,
    "diff": diff,
    "export": export,
    "latest": latest,
    "controls": controls,
    "review": review,
    "status": status,
}
_GROUPS = {"lock": lock, "distill": distill, "eval": evaluation, "model": model, "publish": publish, "store": store}
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

# Built once: all signatures are read for it, which takes longer than most commands.
command = typer.main.get_command(app)
