"""Keeps one comment with a report on a pull request: it is written once, and changed from then on.

    python sticky_comment.py REPORT.md NUMBER

Reads GITHUB_API_URL, GITHUB_REPOSITORY and GITHUB_TOKEN, as a job of GitHub Actions has them. Standard library only: it
runs beside whatever the workflow has installed. Ends in 1 where GitHub refuses, with its answer.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

MARKER = "<!-- refute: report -->"
# Characters of a comment ("body is too long (maximum is 65536 characters)").
LARGEST = 65_536
_CUT = "\n\n*The report is longer; the whole of it is among the job's artifacts.*"
_PAGE = 100
_SILENCE_S = 30.0


def body_of(report: str) -> str:
    """The comment: a mark by which it is found again, and as much of the report as fits."""
    room = LARGEST - len(MARKER) - 1
    return f"{MARKER}\n" + (report if len(report) <= room else report[: room - len(_CUT)] + _CUT)


def keep_comment(report: str, number: int) -> str:
    """Write or change the comment on pull request `number`; its address. Raises HTTPError for what GitHub refuses."""
    issues = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/issues"
    found = _find(f"{issues}/{number}/comments")
    content = {"body": body_of(report)}
    if found is None:
        return str(_ask("POST", f"{issues}/{number}/comments", content)["html_url"])
    return str(_ask("PATCH", f"{issues}/comments/{found}", content)["html_url"])


def _find(comments: str) -> int | None:
    """The id of our comment, if there is one: the mark of somebody who quotes it does not begin a comment."""
    page = 1
    while rows := _ask("GET", f"{comments}?per_page={_PAGE}&page={page}"):
        for row in rows:
            if (row["body"] or "").startswith(MARKER) and row["user"]["type"] == "Bot":
                return int(row["id"])
        page += 1
    return None


def _ask(method: str, url: str, content: object = None) -> Any:
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data=data, method=method)  # noqa: S310  # the runner says which API
    request.add_header("Authorization", f"Bearer {os.environ['GITHUB_TOKEN']}")
    request.add_header("Accept", "application/vnd.github+json")
    with urllib.request.urlopen(request, timeout=_SILENCE_S) as answer:  # noqa: S310  # the same
        return json.load(answer)


def main() -> int:
    """The comment of the two arguments, and what GitHub said if it refused."""
    report, number = Path(sys.argv[1]).read_text(encoding="utf-8"), int(sys.argv[2])
    try:
        sys.stdout.write(f"{keep_comment(report, number)}\n")
    except urllib.error.HTTPError as error:
        said = error.read(2000).decode(errors="replace")
        sys.stderr.write(f"no comment: GitHub answered {error.code}: {said}\n")
        sys.stderr.write("the job needs `permissions: { pull-requests: write }`; a fork's has none\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
