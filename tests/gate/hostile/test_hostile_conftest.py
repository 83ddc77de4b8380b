"""Ways to make pytest itself end well although the release is refuted: none of them gets a GO signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gate.conftest import Repo

pytestmark = pytest.mark.exhaustive

# name: (conftest.py, exit status of pytest, verdicts signed); the release's first criterion is false.
TRICKS: dict[str, tuple[str, int, list[str]]] = {
    "skip all items": (
        """
        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.skip)
        """,
        1,
        ["NO-GO"],
    ),
    "expect all items to fail": (
        """
        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.xfail(strict=False))
        """,
        1,
        ["NO-GO"],
    ),
    "drop the item that fails": (
        """
        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(items):
            items[:] = [item for item in items if "001" not in item.nodeid]
        """,
        1,
        ["NO-GO"],
    ),
    "rewrite reports and the exit status": (
        """
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport():
            report = yield
            report.outcome = "passed"
            return report

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_sessionfinish(session):
            yield
            session.exitstatus = 0
        """,
        0,
        ["NO-GO"],
    ),
    "run nothing": ("def pytest_runtestloop():\n    return True\n", 1, ["NO-GO"]),
    "leave politely": ("def pytest_runtest_setup():\n    pytest.exit('done', returncode=0)\n", 2, []),
    "leave at once": ("def pytest_runtest_setup():\n    import os\n    os._exit(0)\n", 0, []),
    "leave before judging": ("def pytest_sessionfinish():\n    import os\n    os._exit(0)\n", 0, []),
    "break the end": ("def pytest_sessionfinish():\n    raise ValueError\n", 1, []),
}


@pytest.mark.parametrize("name", TRICKS)
def test_no_trick_gets_a_go_signed(repo: Repo, name: str) -> None:
    """Whatever hooks of the repository do to pytest, the judge sees the records: NO-GO, or no verdict at all."""
    code, status, signed = TRICKS[name]
    lines = code.strip("\n").splitlines()
    margin = len(lines[0]) - len(lines[0].lstrip())
    repo.write("conftest.py", "import pytest\n\n" + "\n".join(line[margin:] for line in lines) + "\n")
    repo.fail()
    ended = repo.gate()
    assert (ended.returncode, repo.rulings()) == (status, signed), ended.stdout


def test_options_from_the_environment_are_seen_and_recorded(repo: Repo) -> None:
    """PYTEST_ADDOPTS that deselects the failing falsifier gives a partial NO-GO, and stands in the verdict."""
    repo.fail()
    ended = repo.gate(env={"PYTEST_ADDOPTS": "-k F-EXAMPLE-002"})
    (predicate,) = repo.predicates()
    assert ended.returncode == 1
    assert (str(predicate.verdict.ruling), predicate.verdict.partial) == ("NO-GO", True)
    assert predicate.run.pytest_environment["PYTEST_ADDOPTS"] == "-k F-EXAMPLE-002"
