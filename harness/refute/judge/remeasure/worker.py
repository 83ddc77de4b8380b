"""Runs falsifiers of a finished run once more on its evidence; `measure_again` starts it as a module.

The request is one JSON object on standard input, the answer one record a line on what was standard output. Nothing
that a falsifier's file prints gets there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from refute.errors import EvidenceError
from refute.falsifier.context import Evidence
from refute.falsifier.forked import warm_up
from refute.falsifier.loading import load_registry
from refute.falsifier.records import record_to_json
from refute.falsifier.runner import Gate
from refute.judge.run.folder import EvidenceLine, RunFolder
from refute.spec.criteria import attacks, parse_spec
from refute.spec.fields import Closed
from refute.spec.files import LoadedRelease, parse_release

LOG = "remeasured.log"


class Request(Closed):
    """What to measure again: falsifiers by criterion and id, where everything lies, and whether each call forks."""

    run: str
    falsifiers: tuple[str, ...]
    evidence: tuple[EvidenceLine, ...]
    wanted: tuple[tuple[str, str], ...]
    apart: bool


@dataclass(frozen=True, slots=True)
class _Noted:
    """The evidence that a run noted, in place of a laboratory: nothing is produced."""

    lines: Mapping[str, EvidenceLine]

    def obtain(self, name: str) -> Evidence:
        line = self.lines.get(name)
        if line is None:
            raise EvidenceError(f"the run did not note evidence {name!r}")
        return Evidence(line.name, line.digest, Path(line.folder), line.files)


def main() -> None:
    """Answer one request."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        request = Request.model_validate_json(sys.stdin.buffer.read())
        run = RunFolder(Path(request.run))
        run_file = run.read_run()
        release = parse_release(run_file.release.text, run_file.release.name)
        registry = load_registry(map(Path, request.falsifiers))
        if request.apart:
            warm_up()
        gate = Gate(
            LoadedRelease(release, run_file.release_file, run_file.release.sha256, run_file.release.text),
            registry,
            _Noted({line.name: line for line in request.evidence}),
            run.path / LOG,
            apart=request.apart,
        )
        for spec, criterion, use in attacks(parse_spec(text.text, text.name) for text in run_file.specs):
            if (criterion.id, use.id) in request.wanted:
                answers.write(record_to_json(gate.run(spec, criterion, use)) + "\n")
                answers.flush()


if __name__ == "__main__":
    main()
