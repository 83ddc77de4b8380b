"""The headline names what made the ruling: a criterion that alone would give it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refute.outcome import Outcome, Ruling, Severity
from refute.report.sentences import because
from refute_contracts.verdict_cases import ANCHOR, HOLDS, RECORDED, Case, build, rule

CASES = st.builds(
    Case,
    severity=st.sampled_from(Severity),
    outcomes=st.lists(st.sampled_from(RECORDED), max_size=3),
    waived=st.booleans(),
    lenient=st.booleans(),
)


@pytest.mark.slow
@given(st.lists(CASES, min_size=1, max_size=6))
def test_the_criterion_in_the_headline_alone_gives_the_ruling(cases: list[Case]) -> None:
    """Whatever else is wrong: judged beside one criterion that holds, the named one comes to the same word."""
    criteria, records, waivers = build(cases)
    verdict = rule([ANCHOR, *criteria], [HOLDS, *records], *waivers)
    named = re.match(r"AC-N(\d) \((?:block|warn|info)\) ", because(verdict))
    assert bool(named) == bool(verdict.decided_by)
    if named is None:  # every criterion holds, or what does not is waived
        assert verdict.ruling is not Ruling.NO_GO
        return
    alone, own_records, own_waivers = build([cases[int(named[1])]])
    assert named[0].startswith(verdict.decided_by)
    assert rule([ANCHOR, *alone], [HOLDS, *own_records], *own_waivers).ruling is verdict.ruling


def test_a_doubt_does_not_hide_what_is_fatal() -> None:
    """An open criterion that only warns stands first in the spec, a falsified one that blocks behind it."""
    open_one = Case(Severity.BLOCK, [Outcome.INCONCLUSIVE], lenient=True)
    criteria, records, _ = build([open_one, Case(Severity.BLOCK, [Outcome.FALSIFIED])])
    assert because(rule([ANCHOR, *criteria], [HOLDS, *records])).startswith("AC-N1 (block) falsified; 2 of 3 blocking")
