"""A judged run that has staged a small release, and a hub to publish it to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from refute.attest import generate_key, load_private_key
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
from tiny_run import RELEASE, SPEC, tiny_run

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


def staged_run(
    root: Path, *, right: int = 95, spec: str = "SPEC-HF-PUBLISH-001", publication: str = PUBLICATION
) -> RunFolder:
    """A judged run below `root`: GO with `right` of a hundred answers right, NO-GO with 40. `spec` is its spec's id."""
    distillation = load_release(_QUICK).release.model_dump(mode="json", exclude_none=True)["distillation"]
    release = f"{RELEASE}{yaml.safe_dump({'distillation': distillation})}{publication}"
    run = tiny_run(root, Silence(), spec=SPEC.replace("SPEC-TINY-001", spec), release=release, right=right)
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
