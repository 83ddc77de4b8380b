"""A judged run that has staged a small release, and a hub to publish it to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from refute import Context, Measurement, falsifier
from refute.attest import generate_key, load_private_key
from refute.cli.publish.judged import LOOKED_AT
from refute.engines.publish.hub import HubRepository, Patience, speak_plainly
from refute.engines.publish.rehearsal.answers import Hub
from refute.engines.publish.rehearsal.faults import Fault
from refute.engines.publish.rehearsal.server import rehearsal_hub
from refute.engines.publish.rehearsal.trials import small_release
from refute.evidence.store import Store
from refute.judge.judge_run import Operator, judge_run
from refute.judge.run.folder import RunFolder
from refute.spec.files import load_release
from silence import Silence
from tiny_run import RELEASE, SPEC, TINY, tiny_run

TOKEN = "a secret of the tests"  # noqa: S105  # it opens nothing else
_QUICK = Path(__file__).parents[2] / "specs" / "releases" / "quick.yaml"
PUBLICATION = """\
publication:
  name: tiny
  licence: apache-2.0
  licence_file: LICENSE
  hub: { repo: org/tiny }
  teacher: { repo: org/teacher, licence: apache-2.0 }
  card: { summary: A tiny model., languages: [en] }
"""


_CRITERION = """\
  - id: AC-TINY-003
    title: What others are given
    statement: Most answers are right.
    severity: {severity}
    phase: 6
    falsifiers:
"""
_USE = "      - {{id: F-TINY-{number}, uses: {uses}, thresholds: {{accuracy: {{holds_if: '>= 80 %'}}}}}}\n"


def right_answers(context: Context) -> Iterator[Measurement]:
    """Refuted when too few answers are right; called as what looks at a release, which this one is too small for."""
    yield from TINY["tiny-accuracy"].measure(context)


for _name in LOOKED_AT:
    falsifier(_name, needs=("answers",), measures={"accuracy": "%"}, controls=TINY["tiny-accuracy"].controls)(
        right_answers
    )


def staged_run(
    root: Path,
    *,
    right: int = 95,
    looked_at: Iterable[str] = LOOKED_AT,
    severity: str = "block",
    publication: str = PUBLICATION,
) -> RunFolder:
    """A judged run below `root`: GO with `right` of a hundred answers right, NO-GO with 40.

    Beside its two criteria one of this `severity` uses falsifiers that have the names `looked_at`.
    """
    uses = "".join(_USE.format(number=number, uses=name) for number, name in enumerate(looked_at, start=3))
    spec = SPEC + (_CRITERION.format(severity=severity) + uses if uses else "")
    distillation = load_release(_QUICK).release.model_dump(mode="json", exclude_none=True)["distillation"]
    release = f"{RELEASE}{yaml.safe_dump({'distillation': distillation})}{publication}"
    names = {"right_answers": right_answers}
    run = tiny_run(root, Silence(), spec=spec, release=release, right=right, falsifiers=names)
    small_release(root / "staging")
    run.append_evidence({"staged": Store(root / "store").add("staged", "0" * 64, root / "staging", {}, None)})
    key = load_private_key(generate_key(root / "keys", "gate").private)
    judge_run(run, Operator(key, development=False))
    return run


@contextmanager
def open_hub(folder: Path, *faults: Fault) -> Iterator[Hub]:
    """A hub that huggingface_hub finds by the variables of this process."""
    speak_plainly(loopback=True)
    with rehearsal_hub(folder, TOKEN, *faults) as hub, pytest.MonkeyPatch.context() as variables:
        variables.setenv("HF_ENDPOINT", hub.api)
        variables.setenv("HF_TOKEN", TOKEN)
        variables.setenv("HF_HUB_OFFLINE", "0")
        yield hub


def repository(hub: Hub, repo: str = "org/tiny", token: str = TOKEN) -> HubRepository:
    """A repository of that hub; nobody waits long for anything."""
    return HubRepository(repo, endpoint=hub.api, token=token, patience=Patience(3, 0.01))
