"""`refute report FOLDER --serve`: pages of verdicts that verify, for browsers on this machine."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refute.attest import generate_key
from refute.cli.commands.verdicts.history_server import HistoryServer
from tiny_run import JudgedOnce

if TYPE_CHECKING:
    from tests.conftest import Cli


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, honest_go: JudgedOnce) -> Path:
    """A verdict, its copy, one that nobody here trusts, and what is no verdict."""
    root = tmp_path_factory.mktemp("verdicts")
    text = honest_go.judged.path.read_text(encoding="utf-8")
    for name, content in (("a", text), ("copy", text), ("torn", text[:200])):
        (root / name).mkdir()
        (root / name / "verdict.intoto.json").write_text(content, encoding="utf-8")
    return root


@pytest.fixture
def server(folder: Path, honest_go: JudgedOnce) -> Iterator[HistoryServer]:
    """Serving, on a port of its own."""
    with HistoryServer(folder, [(honest_go.root / "keys/judge.pub").read_bytes()]) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield served
        served.shutdown()


def get(server: HistoryServer, target: str, host: str = "") -> tuple[int, str]:
    """Status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.request("GET", target, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode("utf-8")


def test_verdicts_are_listed_once_and_what_is_none_with_its_reason(
    server: HistoryServer, honest_go: JudgedOnce
) -> None:
    """Each leads to its report, which is the one that lies beside it."""
    status, page = get(server, "/")
    payload = honest_go.judged.payload_sha256
    assert (status, page.count(f'href="/verdict/{payload}"')) == (200, 1)
    assert "torn/verdict.intoto.json: " in page
    status, report = get(server, f"/verdict/{payload}")
    assert (status, report) == (200, (honest_go.judged.path.parent / "report.html").read_text(encoding="utf-8"))
    status, compared = get(server, f"/difference?old={payload}&new={payload}")
    assert (status, "GO -&gt; GO: no regression" in compared) == (200, True)


@pytest.mark.parametrize(
    "target", ["/verdict/" + "0" * 64, "/difference?old=a&new=b", "/../etc/passwd", "/x", "/difference", "//["]
)
def test_what_is_not_there_is_404(server: HistoryServer, target: str) -> None:
    """Nothing but verdicts that verified is served."""
    assert get(server, target)[0] == 404


@pytest.mark.parametrize("host", ["evil.example:80", "evil.example", "127.0.0.1.evil.example:80"])
def test_another_name_for_this_machine_is_refused(server: HistoryServer, host: str) -> None:
    """A page of somebody else's reads nothing here."""
    assert get(server, "/", host)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "localhost:8000"])
def test_its_own_names_are_answered(server: HistoryServer, host: str) -> None:
    """Also without a port: browsers leave out 80."""
    assert get(server, "/", host)[0] == 200


def test_a_key_that_signed_nothing_shows_nothing(folder: Path, tmp_path: Path) -> None:
    """What is not trusted is not shown."""
    other = generate_key(tmp_path, "other").public
    with HistoryServer(folder, [other.read_bytes()]) as server:
        assert "No verdict here verifies" in (server.page("/") or "")


def test_options_from_which_nothing_comes_are_refused(cli: Cli, folder: Path, honest_go: JudgedOnce) -> None:
    """And a file is no folder."""
    key = honest_go.root / "keys/judge.pub"
    for given, said in (
        (("--format", "md"), "--format: for one verdict"),
        (("--json",), "--json: for one verdict"),
    ):
        ended = cli("report", folder, "--serve", "--key", key, *given)
        assert (ended.returncode, said in ended.stderr) == (2, True)
    ended = cli("report", honest_go.judged.path, "--port", "8000", "--key", key)
    assert (ended.returncode, "--port is for --serve" in ended.stderr) == (2, True)
    ended = cli("report", honest_go.judged.path, "--serve", "--key", key)
    assert (ended.returncode, "is no folder" in ended.stderr) == (2, True)


@pytest.mark.slow
def test_ctrl_c_ends_it(folder: Path, honest_go: JudgedOnce) -> None:
    """It says where it is at once, and ends as every command does that is interrupted."""
    key = honest_go.root / "keys/judge.pub"
    command = [sys.executable, "-m", "refute", "report", str(folder), "--serve", "--key", str(key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        assert "http://127.0.0.1:" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
