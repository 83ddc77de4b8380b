"""The composite action: its steps run here as a runner would run them, but for those that are other people's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from refute.cli.commands.init import scaffold

GITHUB = Path(__file__).parents[2] / "integrations/github"
ACTION = yaml.safe_load((GITHUB / "action.yml").read_text(encoding="utf-8"))
STEPS = ACTION["runs"]["steps"]
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
NUMBER = 7


def test_no_input_is_pasted_into_a_shell() -> None:
    """Whoever names a release would otherwise write the script: what comes from outside comes as a variable."""
    assert [step["name"] for step in STEPS if EXPRESSION.search(step.get("run", ""))] == []


def test_expressions_name_what_there_is() -> None:
    """Inputs, and outputs of steps by their id."""
    written = " ".join(EXPRESSION.findall(json.dumps(ACTION)))
    assert set(re.findall(r"inputs\.([\w-]+)", written)) == set(ACTION["inputs"])
    assert set(re.findall(r"steps\.(\w+)\.", written)) == {step["id"] for step in STEPS if "id" in step}
    outputs = re.findall(r"printf '(.*)'", (GITHUB / "gate.sh").read_text(encoding="utf-8"))[0]
    assert set(re.findall(r"steps\.gate\.outputs\.(\w+)", written)) == set(
        re.findall(r"(\w+)=", outputs.replace("\\n", " "))
    )


@pytest.mark.parametrize("step", [step for step in STEPS if "run" in step], ids=lambda step: str(step["name"]))
def test_every_script_is_a_script(step: dict[str, Any]) -> None:
    """As bash reads it; the files that it names are beside the action."""
    done = subprocess.run(["/bin/bash", "-n"], input=step["run"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert all((GITHUB / name).is_file() for name in re.findall(r"GITHUB_ACTION_PATH/([\w.]+)", step["run"]))


def gate(folder: Path, **variables: str) -> tuple[int, dict[str, str]]:
    """Exit status and outputs of the step that judges, in `folder`."""
    output = folder / "output.txt"
    output.write_text("", encoding="utf-8")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GITHUB_OUTPUT": str(output),
    }
    done = subprocess.run(
        ["/bin/bash", GITHUB / "gate.sh"],
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = output.read_text(encoding="utf-8").splitlines()
    return done.returncode, dict(line.split("=", 1) for line in lines)


@pytest.mark.slow
def test_the_step_ends_as_its_verdict_does(tmp_path: Path) -> None:
    """GO in 0, and a run that was there before is no answer of a gate that signed nothing."""
    scaffold(tmp_path)
    status, outputs = gate(tmp_path, ARGUMENTS="--accept-warn\n--exit-zero\n")
    assert (status, outputs["ruling"]) == (0, "GO")
    assert (tmp_path / outputs["run"] / "report.md").is_file()
    status, outputs = gate(tmp_path, RELEASE="specs/releases/$(touch planted).yaml")
    assert status not in (0, 1, 3)
    assert outputs == {"run": "", "ruling": ""}
    assert not (tmp_path / "planted").exists()


@pytest.mark.slow
def test_a_run_that_another_job_judges_is_recorded(tmp_path: Path) -> None:
    """Nothing is signed, and that is what was asked for."""
    scaffold(tmp_path)
    status, outputs = gate(tmp_path, JUDGE="false")
    assert (status, outputs["ruling"]) == (0, "")
    assert (tmp_path / outputs["run"] / "records.jsonl").is_file()


class GitHub(HTTPServer):
    """Comments on one pull request, in pages; `refuses` answers 403 to whatever is written."""

    comments: list[dict[str, Any]]
    refuses = False


class _Answers(BaseHTTPRequestHandler):
    @property
    def github(self) -> GitHub:
        """Whose request this is."""
        assert isinstance(self.server, GitHub)
        return self.server

    def do_GET(self) -> None:
        page = int(re.findall(r"[?&]page=(\d+)", self.path)[0])
        self._answer(200, self.github.comments[100 * (page - 1) : 100 * page])

    def do_POST(self) -> None:
        self._write({"id": 1000 + len(self.github.comments), "user": {"type": "Bot"}})

    def do_PATCH(self) -> None:
        named = int(self.path.rpartition("/")[2])
        self._write(next(row for row in self.github.comments if row["id"] == named))

    def _write(self, row: dict[str, Any]) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.github.refuses or self.headers["Authorization"] != "Bearer token":
            self._answer(403, {"message": "Resource not accessible by integration"})
            return
        row |= content | {"html_url": "https://github.com/o/r/pull/7#1"}
        if row not in self.github.comments:
            self.github.comments.append(row)
        self._answer(200, row)

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def github() -> Iterator[GitHub]:
    """On the loopback, with more comments of other people than a page holds; one of them quotes our mark."""
    server = GitHub(("127.0.0.1", 0), _Answers)
    server.comments = [{"id": n, "body": f"comment {n}", "user": {"type": "User"}} for n in range(120)]
    server.comments[3]["body"] = "<!-- refute: report -->\nforged"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def comment(github: GitHub, folder: Path, report: str) -> subprocess.CompletedProcess[str]:
    """The script of the step that comments, in a process of its own."""
    (folder / "report.md").write_text(report, encoding="utf-8")
    variables = {
        "GITHUB_API_URL": f"http://127.0.0.1:{github.server_port}",
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_TOKEN": "token",
    }
    command = [sys.executable, str(GITHUB / "sticky_comment.py"), str(folder / "report.md"), str(NUMBER)]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)


def test_one_comment_is_kept(github: GitHub, tmp_path: Path) -> None:
    """Written once, changed afterwards, however many others there are; nobody else's is touched."""
    assert comment(github, tmp_path, "# NO-GO").returncode == 0
    assert comment(github, tmp_path, "# GO").returncode == 0
    ours = [row["body"] for row in github.comments if row["user"]["type"] == "Bot"]
    assert ours == ["<!-- refute: report -->\n# GO"]
    assert github.comments[3]["body"].endswith("forged")


def test_a_report_that_is_too_long_is_cut(github: GitHub, tmp_path: Path) -> None:
    """GitHub refuses a body of more than 65,536 characters whole."""
    comment(github, tmp_path, "ä" * 70_000)
    body = github.comments[-1]["body"]
    assert len(body) == 65_536
    assert body.endswith("among the job's artifacts.*")


def test_a_refusal_is_said_in_the_words_of_github(github: GitHub, tmp_path: Path) -> None:
    """And ends in 1: a comment that nobody sees is no comment."""
    github.refuses = True
    done = comment(github, tmp_path, "# GO")
    assert done.returncode == 1
    assert "403" in done.stderr
    assert "pull-requests: write" in done.stderr
