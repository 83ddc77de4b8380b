"""Which problem a file means by its own way of writing the id: `HumanEval/7`, `test/humaneval_07`, `7`, 7."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable


class TaskNames:
    """The ids of a problem file. An id that fits several of them loosely is none of them."""

    def __init__(self, tasks: Iterable[str]) -> None:
        self.tasks = tuple(tasks)
        self._known = set(self.tasks)
        self._loose: defaultdict[str, set[str]] = defaultdict(set)
        for task in self.tasks:
            self._loose[_plain(task)].add(task)
            if number := re.search(r"\d+$", task):
                self._loose[str(int(number[0]))].add(task)

    def find(self, given: object) -> str | None:
        """The task that `given` means, exactly if it can be, or None."""
        if isinstance(given, str) and given in self._known:
            return given
        if isinstance(given, bool) or not isinstance(given, str | int):
            return None
        # HumanEval-X names the language in place of the benchmark, HELM nothing.
        plain = _plain(str(given)).removeprefix("python/").removeprefix("id/")
        # MultiPL-E puts the function's name behind: `HumanEval_7_how_many_times`; others a split or an owner before.
        numbered = re.match(r"[a-z]+/\d+(?=/)", plain)
        parts = plain.split("/")
        ends = ["/".join(parts[start:]) for start in range(1, len(parts) - 1)]
        written = [plain, *([numbered[0]] if numbered else ()), *ends]
        fitting = next((self._loose[each] for each in written if each in self._loose), set[str]())
        return next(iter(fitting)) if len(fitting) == 1 else None


def _plain(name: str) -> str:
    plain = re.sub(r"[^0-9a-z]+|(?<=[a-z])(?=\d)", "/", name.casefold()).strip("/")
    return re.sub(r"\d+", lambda digits: str(int(digits[0])), plain)
