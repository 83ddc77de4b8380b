"""Contracts behind a falsifier: what an experiment's function reaches is linked, what only lies beside it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from refute.check.contracts.links import linked_contracts, reached_modules, readable_contracts
from refute.evidence.plan import plan_release
from refute.falsifier.loading import load_registry
from refute.spec.files import load_release

ROOT = Path(__file__).parents[3]
FILES = {
    "__init__.py": "from shop_links.heavy import everything\n",
    "runs.py": """\
from shop_links.loss import loss as the_loss
from shop_links.data import LIMIT, batches
from shop_links import words

def train(job):
    return _step(job)

def _step(job):
    return the_loss(job)

def evaluate(job):
    from shop_links.sandbox import run
    return run(job, words.HELLO)

def sized(job):
    return LIMIT
""",
    "loss.py": "from shop_links.kernel import fused\n\ndef loss(job):\n    return fused(job)\n",
    "kernel.py": "def fused(job):\n    return 1\n",
    "data.py": "from shop_links.shards import count\n\nLIMIT = count(3)\n\ndef batches():\n    return []\n",
    "shards.py": "def count(n):\n    return n\n",
    "sandbox.py": "import json\n\ndef run(job, word):\n    return json.dumps(word)\n",
    "words.py": "HELLO = 'hello'\n",
    "heavy.py": "everything = 1\n",
}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that can be found, and would fail if it were imported."""
    for name, text in FILES.items():
        path = tmp_path / "shop_links" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + ("raise RuntimeError('imported')\n" if name != "__init__.py" else ""), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("train", {"runs", "loss", "kernel"}),
        ("evaluate", {"runs", "sandbox", "words"}),
        ("sized", {"runs", "data", "shards"}),
        ("gone", set()),
    ],
)
def test_names_are_followed_and_neighbours_are_not(shop: None, function: str, expected: set[str]) -> None:
    """Through other functions of the file, other names, imports inside a function, and constants; nothing is run."""
    assert reached_modules(f"shop_links.runs:{function}") == {f"shop_links.{name}" for name in expected}


@pytest.mark.slow
def test_the_built_in_falsifiers_are_linked_to_what_covers_their_engines() -> None:
    """The certificate of the loss to the loss, the scorer to the sandbox, and neither to the other's."""
    path = ROOT / "specs" / "releases" / "embedded.yaml"
    plan = plan_release(load_release(path).release, path.parent)
    contracts = readable_contracts([ROOT / "contracts"])
    links = linked_contracts(load_registry([]), plan, contracts)
    assert "C-KD-LOSS" in links["kd-limits"]
    assert "C-SANDBOX" not in links["kd-limits"]
    assert "C-SANDBOX" in links["scorer-calibration"]
    assert {"C-SANDBOX", "C-PASS-AT-K"} <= set(links["humaneval-pass-at-1"])
    assert "C-KD-LOSS" not in links["scorer-calibration"]
    assert "C-CHECKPOINT" in links["training-happened"]
    assert "C-TEACHER-LOGITS" in links["teacher-parity"]
    # The file of this one imports refute.stats, which has a contract; its evidence is not in this plan.
    assert links["humaneval-pass-at-1-sequential"] == ("C-PASS-AT-K",)


def test_files_that_are_no_contracts_link_nothing(tmp_path: Path) -> None:
    """Somebody else's YAML, and a folder that is not there."""
    (tmp_path / "other.yaml").write_text("solidity: true\n", encoding="utf-8")
    assert readable_contracts([tmp_path, tmp_path / "gone"]) == ()
    assert linked_contracts(load_registry([]), {}, ()) == {}
