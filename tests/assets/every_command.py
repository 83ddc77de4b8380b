"""For every command of `refute` a call that works: the inputs that it names are real, and small."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from example_lock import lock_example
from json_lines import read_rows, write_rows
from refute.attest import generate_key, load_private_key
from refute.cli.app import command as refute
from refute.cli.commands.init import scaffold
from refute.judge.judge_run import Operator, judge_run
from silence import Silence
from small_corpus import write_sources
from staged_run import staged_run
from tiny_run import FALSIFIERS, tiny_run

Words = tuple[str, ...]
POLICY = "roles: {operator: {keys: [{name: gate, path: keys/gate.pub}]}}\nrequire_lock: false\n"
# Short enough for the tiny teacher.
SHORT = {
    "task_id": "short/0",
    "prompt": "def f(n):\n",
    "entry_point": "f",
    "canonical_solution": "    return n\n",
    "test": "def check(candidate):\n    assert candidate(1) == 1\n",
}
PROBLEMS = Path(__file__).parent / "own_problems.jsonl"
SPECS = Path(__file__).parents[2] / "specs"


def leaves(command: Any = None, name: Words = ()) -> Iterator[tuple[Words, Any]]:
    """Every command that can be called, by its words."""
    command = command or refute
    children = getattr(command, "commands", None)
    if children is None:
        yield name, command
    else:
        for word, child in children.items():
            yield from leaves(child, (*name, word))


COMMANDS: dict[Words, Any] = dict(leaves())


@dataclass(frozen=True)
class Place:
    """A folder with everything that a command may be asked about."""

    root: Path
    teacher: Path
    config: Path
    verdicts: tuple[Path, Path]

    @property
    def shards(self) -> Path:
        """The corpus of the configuration."""
        (line,) = [line for line in self.config.read_text(encoding="utf-8").splitlines() if line.startswith("corpus: ")]
        return Path(json.loads(line.removeprefix("corpus: ")))

    def calls(self, out: Path) -> dict[Words, list[object]]:
        """What follows each command's own words, for a call whose results go below the fresh folder `out`."""
        root, (old, new) = self.root, self.verdicts
        if out.is_dir():
            (out / new.name).write_bytes(new.read_bytes())  # what countersigns changes it
            shutil.copytree(self.teacher, out / "stamped", dirs_exist_ok=True)  # and what stamps this
        key, public = root / "keys/gate.key", root / "keys/gate.pub"
        off = ["--role", "owner", "--decision", "reject", "--note", "no", "--verdict-key", public]
        judged = ["--store", root / "store", "--refute-dir", root]
        texts = [root / "texts", "--tokenizer", self.teacher]
        scored = ["--problems", PROBLEMS, "--minimum-isolation", "rlimits", "--workers", 1]
        model = ["--model", self.teacher, "--max-new-tokens", 2, "--threads", 1]
        return {
            ("init",): [out / "new"],
            ("check",): [],
            ("power",): [SPECS / "student-001.yaml"],
            ("try",): ["answer-accuracy"],
            ("gate",): ["--release", root / "absent.yaml"],  # what a whole gate prints, tests/gate looks at
            ("dogfood",): [root / "absent.yaml"],  # a whole one takes minutes
            ("keygen",): ["mine", "--directory", out],
            ("judge",): [old.parent, "--key", key, "--falsifiers", FALSIFIERS],
            ("verify",): [new, "--key", public],
            ("lock", "make"): ["--key", key, "--out", out / "lock.json"],
            ("lock", "show"): [root / "lock.json"],
            ("lock", "verify"): [root / "lock.json", "--key", public],
            ("sign-off",): [new, *off, "--key", root / "keys/ann.key", "--out", out / "off.json"],
            ("countersign",): [out / new.name, "--verdict-key", public, "--key", root / "keys/ann.key"],
            # Of evidence like this nothing can be challenged; what can be, tests/verify/challenge looks at.
            ("rerun",): [
                *(new, "--challenge", "--release", root / "release.yaml", "--store", root / "store"),
                *("--verdict-key", public, "--key", root / "keys/ann.key"),
            ],
            # What engines say of a model, tests/verify/consumer looks at.
            ("consume",): [
                *(new, "--withdraw", "--note", "no", "--verdict-key", public, "--key", root / "keys/ann.key"),
                *("--out", out / "consumer.sigstore.json"),
            ],
            ("report",): [new, "--key", public],
            ("diff",): [old, new, "--key", public],
            ("export",): [new, "--key", public, "--out", out],
            ("latest",): [root / "runs", "--key", public, "--model", root / "answers.jsonl"],
            ("controls",): [],
            ("review",): ["--all", "--by", "Ann"],
            ("status",): ["--key", public],
            ("distill", "run"): [self.config, "--out", out, "--max-steps", 1],
            ("distill", "plan"): [self.config],
            ("distill", "init"): [
                *(self.teacher, "--corpus", self.shards, "--layers", 2, "--out", out / "init"),
                *("--seq-len", 16, "--windows", 2, "--threads", 1),
            ],
            ("distill", "tokenize"): [*texts, "--heldout-share", 0.5, "--out", out],
            ("distill", "prepare"): [self.config, "--out", out, "-k", 2],
            ("distill", "certify"): [],
            ("eval", "score"): [root / "samples.jsonl", "--out", out / "results.jsonl", *scored],
            ("eval", "humaneval"): [*model, *scored, "--problems", root / "short.jsonl", "--out", out / "run"],
            ("eval", "compare"): [root / "results.jsonl", root / "results.jsonl"],
            ("model", "inspect"): [self.teacher],
            ("model", "lint"): [self.teacher],
            ("publish", "stage"): [root / "staging/run", "--out", out / "staged"],
            ("publish", "push"): [root / "laid-out", "--dry-run"],
            ("model", "pull"): [self.teacher],
            ("model", "run"): [self.teacher, "def f", "--max-new-tokens", 2, "--threads", 1],
            ("model", "bench"): [self.teacher, "--n", 1, "--warm-up", 0, "--new-tokens", 2, "--threads", 1],
            ("model", "qa"): [self.teacher, "--threads", 1],
            ("model", "readiness"): [self.teacher, "--threads", 1],
            ("model", "stamp"): [out / "stamped", "--name", "Tiny"],
            ("model", "export"): [self.teacher, "--to", out / "teacher.gguf", "--type", "F16"],
            ("store", "list"): judged,
            ("store", "prune"): [*judged, "--dry-run"],
            ("store", "export"): [new.parent.name, *judged, "--to", out / "packed.tar"],
            ("store", "import"): [root / "packed.tar", "--store", out / "store", "--refute-dir", out],
        }


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, teacher_folder: Path, distill_config: Callable[..., str]) -> Place:
    """The scaffolded example, two verdicts on another release, keys, samples, results, an archive, a tiny teacher."""
    root = tmp_path_factory.mktemp("place")
    scaffold(root)
    spec = root / "specs/example.yaml"
    text = spec.read_text(encoding="utf-8")
    spec.write_text(
        text.replace("title: ", "title: \u6a21\u578b \u2713 ", 1), encoding="utf-8"
    )  # few encodings have these
    for name in ("gate", "ann"):
        generate_key(root / "keys", name)
    key = load_private_key(root / "keys/gate.key")
    runs = [tiny_run(root, Silence(), right=right) for right in (40, 95)]
    old, new = (judge_run(run, Operator(key, development=False)).path for run in runs)
    made = Place(root, teacher_folder, root / "config.yaml", (old, new))
    (root / "policy.yaml").write_text(
        "roles: {operator: {keys: [{name: gate, path: keys/gate.pub}]}}\n", encoding="utf-8"
    )
    lock_example(root, key)
    made.config.write_text(distill_config(), encoding="utf-8")
    write_sources(root / "texts")
    problems = read_rows(PROBLEMS)
    answers = [{"task_id": row["task_id"], "completion": row["canonical_solution"]} for row in problems]
    write_rows(root / "samples.jsonl", answers)
    write_rows(root / "results.jsonl", [{"task_id": row["task_id"], "passed": True} for row in problems])
    write_rows(root / "short.jsonl", [SHORT])
    (root / "staging").mkdir()
    (root / "staging/run").symlink_to(staged_run(root / "staging").path)
    refute(["publish", "stage", str(root / "staging/run"), "--out", str(root / "laid-out")], standalone_mode=False)
    packing = made.calls(root)["store", "export"]
    refute(["store", "export", *map(str, packing)], standalone_mode=False)
    return made
