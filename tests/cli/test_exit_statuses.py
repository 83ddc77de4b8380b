"""Every command ends in a status of the one table, whatever it is given, and says the same in JSON."""

from __future__ import annotations

import json
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from every_command import COMMANDS
from refute import errors
from refute.attest.signature import sign_message
from refute.cli.exit_statuses import INTERRUPTED, Status, status_of_error, status_of_ruling, table
from refute.errors import RefuteError
from refute.gate.options import NOT_JUDGED
from refute.interrupt import remembering
from refute.outcome import Ruling

if TYPE_CHECKING:
    from tests.conftest import Cli, Ended

PAGE = Path(__file__).parents[2] / "docs/exit-statuses.md"
STATUSES = {int(status) for status in Status}


def has_json(name: tuple[str, ...]) -> bool:
    """Whether the command prints JSON on request."""
    return any("--json" in parameter.opts for parameter in COMMANDS[name].params)


def assert_told(ended: Ended, what: object) -> None:
    """A status of the table, no traceback and, where JSON was printed that says a status, that one."""
    assert ended.returncode in STATUSES | {INTERRUPTED}, (what, ended)
    assert "Traceback" not in ended.stdout + ended.stderr, (what, ended)
    assert "nobody meant" not in ended.stderr, (what, ended)
    if ended.returncode:
        assert ended.stdout.strip() or ended.stderr.strip(), what
    if "--json" in ended.args and ended.stdout.strip():
        assert json.loads(ended.stdout).get("status", ended.returncode) == ended.returncode, (what, ended)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, so that nothing of this repository is found by default."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_a_wrong_call_is_told(cli: Cli, name: tuple[str, ...]) -> None:
    """Without arguments, with an option that there is not, and with one word too many: in words and in JSON."""
    calls: list[tuple[str, ...]] = [()] if name != ("distill", "certify") else []
    calls += [("--no-such-option",), ("one", "two", "three", "four")]
    for call in calls:
        for options in ((), ("--json",)) if has_json(name) else ((),):
            ended = cli(*name, *call, *options)
            assert_told(ended, (name, call, options))
            if call == ("--no-such-option",):
                assert ended.returncode == Status.USAGE, (name, ended)


def errors_of_refute() -> list[type[RefuteError]]:
    """Every class of error that refute raises on purpose."""
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RefuteError)]


@pytest.mark.parametrize("kind", errors_of_refute())
def test_no_error_is_a_success_and_none_but_a_refusal_a_no_go(kind: type[RefuteError]) -> None:
    """Each ends in one status of the table, told apart by what to do next."""
    error = kind.__new__(kind)
    error.signal = 15  # type: ignore[attr-defined]  # of those that have one
    status = status_of_error(error)
    assert status in STATUSES - {Status.DONE, Status.WARN, Status.NOT_JUDGED} | {143}
    assert (status == Status.FAILED) == (kind in (errors.LooseningError, errors.PublicationRefusedError))


def test_a_ruling_has_a_status() -> None:
    """GO is 0 and nothing else is, unless WARN is accepted."""
    found = {(word, accept): status_of_ruling(word, accept_warn=accept) for word in Ruling for accept in (False, True)}
    assert [key for key, status in found.items() if status == 0] == [
        (Ruling.GO, False),
        (Ruling.GO, True),
        (Ruling.WARN, True),
    ]
    assert {found[Ruling.NO_GO, accept] for accept in (False, True)} == {Status.FAILED}
    assert Status.NOT_JUDGED == NOT_JUDGED


def break_check(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let `refute check` meet `error` at its work."""

    def fail(*_: object, **__: object) -> None:
        raise error

    Path("specs").mkdir()
    monkeypatch.setattr("refute.check.repository.check_files", fail)


@pytest.mark.parametrize("accident", [KeyError("x"), RuntimeError("y"), MemoryError(), AssertionError()])
def test_an_accident_is_7_and_its_traceback_is_kept(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, accident: Exception
) -> None:
    """One line, a file with the rest, and the same to programs: never the status of a NO-GO."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    break_check(monkeypatch, accident)
    ended = cli("check", "--json")
    shown = json.loads(ended.stdout)
    assert (ended.returncode, shown["status"], shown["cause"]) == (7, 7, "could_not_run")
    assert "Traceback" not in ended.stderr
    assert type(accident).__name__ in ended.stderr
    kept = re.search(r"in (\S+\.log)$", ended.stderr.strip())
    assert kept is not None
    assert "Traceback" in Path(kept[1]).read_text(encoding="utf-8")


def test_a_process_that_cannot_be_isolated_is_no_verdict(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """`refute gate` where no other process can be started: 7, and no traceback."""

    def fail(_: list[str]) -> list[str]:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("refute.isolation.handover.isolate", fail)
    ended = cli("gate")
    assert (ended.returncode, "Cannot allocate memory" in ended.stderr) == (7, True)
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (FileNotFoundError(2, "No such file", "x"), 2),
        (PermissionError(13, "Permission denied", "x"), 2),
        (OSError(28, "No space left on device", "x"), 7),
        (OSError(5, "Input/output error"), 7),
    ],
)
def test_the_system_s_troubles_are_told_apart(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, trouble: OSError, status: int
) -> None:
    """What was named cannot be read: 2. The disk does not do what it must: 7."""
    break_check(monkeypatch, trouble)
    ended = cli("check")
    assert (ended.returncode, str(trouble.strerror) in ended.stderr) == (status, True)


def test_ctrl_c_is_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a command that does not look out for it."""
    break_check(monkeypatch, KeyboardInterrupt())
    assert cli("check").returncode == INTERRUPTED


def swallow_ctrl_c(*_: object, **__: object) -> int:
    """A Ctrl-C as it comes in a finalizer or a callback of C code: raised, dropped, and the work ends well."""
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    return 0


def test_a_ctrl_c_that_got_lost_is_130_too(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the command would have ended well or in an error; and the next command knows nothing of it."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(swallow_ctrl_c())

    for work in (swallow_ctrl_c, fail):
        monkeypatch.setattr("refute.cli.app.command", work)
        ended = cli("check", "--json")
        assert (ended.returncode, json.loads(ended.stdout)["cause"]) == (INTERRUPTED, "interrupted")
    monkeypatch.undo()
    assert cli("--version").returncode == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nothing_is_signed_after_a_ctrl_c() -> None:
    """By any key, in whatever command: the one place that signs asks."""
    with remembering():
        swallow_ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            sign_message(Ed25519PrivateKey.generate(), b"GO")


def test_the_page_shows_the_table() -> None:
    """docs/exit-statuses.md holds every status in the words of the code."""
    assert "\n".join(table()) in PAGE.read_text(encoding="utf-8")
