"""pytest nodes: a spec file holds criteria, a criterion holds falsifiers; node ids read file::AC-…::F-…"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from refute.gate.session import session_of
from refute.judge.predicate.coverage import node_id
from refute.outcome import Outcome, Record
from refute.spec.criteria import Criterion, FalsifierUse, LoadedSpec


class SpecFile(pytest.File):
    """One spec of the run."""

    def collect(self) -> Iterator[pytest.Collector]:
        """Its criteria, in file order."""
        loaded = session_of(self.config).spec_files[self.path.resolve()]
        for criterion in loaded.spec.criteria:
            yield CriterionNode.from_parent(self, name=criterion.id, loaded=loaded, criterion=criterion)


class CriterionNode(pytest.Collector):
    """One criterion."""

    def __init__(self, *, loaded: LoadedSpec, criterion: Criterion, **rest: Any) -> None:
        super().__init__(**rest)
        self.loaded = loaded
        self.criterion = criterion

    def collect(self) -> Iterator[pytest.Item]:
        """The falsifiers that attack it."""
        for use in self.criterion.falsifiers:
            yield FalsifierItem.from_parent(self, name=use.id, loaded=self.loaded, criterion=self.criterion, use=use)


class FalsifierItem(pytest.Item):
    """One falsifier against one criterion."""

    def __init__(self, *, loaded: LoadedSpec, criterion: Criterion, use: FalsifierUse, **rest: Any) -> None:
        super().__init__(**rest)
        self.loaded = loaded
        self.criterion = criterion
        self.use = use
        self.record: Record | None = None
        self.add_marker(f"phase{criterion.phase}")
        self.extra_keyword_matches.update(filter(None, [use.uses]))  # `-k` takes the name that `refute try` takes

    @property
    def node_id(self) -> str:
        """Its name in a verdict, `SPEC::AC::F`."""
        return node_id(self.loaded.spec.spec, self.criterion.id, self.use.id)

    def setup(self) -> None:
        """Run it and write the record. What could not be measured fails here, which pytest and JUnit call an error."""
        self.record = session_of(self.config).attack(self.loaded.spec, self.criterion, self.use)
        self.user_properties += _properties(self.criterion, self.record)
        if self.record.outcome in (Outcome.ERROR, Outcome.TIMEOUT):
            self._fail(self.record)

    def runtest(self) -> None:
        """Fail unless the claim survived or does not apply."""
        if self.record is None:
            raise pytest.UsageError(f"{self.nodeid} was not measured: its setup did not run")
        if self.record.outcome not in (Outcome.CORROBORATED, Outcome.NOT_APPLICABLE):
            self._fail(self.record)

    def _fail(self, record: Record) -> NoReturn:
        """Without a traceback: the fault is the model's, not the code's."""
        text = f"{self.criterion.id} ({self.criterion.severity}) {record.outcome}: {record.reason}"
        if not text.isprintable():  # a falsifier's own words may hold escapes, or commands for who reads the log
            from refute.escaping import visible

            text = visible(text).replace("\n", "\n  | ")
        pytest.fail(text, pytrace=False)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The text alone: in a report of tests the name of an exception says nothing."""
        failed = isinstance(excinfo.value, pytest.fail.Exception)
        return str(excinfo.value) if failed else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """File, line of the falsifier in it, and its id."""
        path = ("criteria", self.loaded.spec.criteria.index(self.criterion))
        return self.path, self.loaded.document.line_of(path) - 1, self.name


def _properties(criterion: Criterion, record: Record) -> Iterator[tuple[str, object]]:
    """What JUnit carries beside the test case; `verifies` is the name that traceability tools read."""
    yield "criterion", record.criterion
    yield "falsifier", record.falsifier
    yield "severity", criterion.severity.value
    yield "phase", criterion.phase
    yield "outcome", record.outcome.value
    yield "verifies", record.criterion
    yield from (("evidence", f"{name} sha256:{digest}") for name, digest in record.evidence)
