"""`refute check`: hold specs, releases and falsifiers of a repository against each other without running anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refute.check.contracts.check import check_contracts
from refute.check.contracts.run import Attempt
from refute.check.controls.rehearsal import rehearse
from refute.check.gate_experiments import gate_experiments
from refute.check.provided import unprovided, unreadable
from refute.check.reviews import REVIEWS, read_reviews, suspects
from refute.check.trace import unknown_ids, unused
from refute.errors import Problem, RefuteError, SpecError
from refute.evidence.missing_inputs import missing_inputs
from refute.evidence.plan import plan_for
from refute.falsifier.loading import load_registry
from refute.falsifier.registry import Falsifier, Registry
from refute.spec.criteria import LoadedSpec, load_spec, uses_of
from refute.spec.files import load_release, resolve
from refute.spec.lint import check_specs
from refute.spec.selection import DEFAULT_RELEASE, find_files
from refute.verify.required_verdicts import missing_required


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong, what is only worth knowing, and how much was looked at."""

    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    specs: int
    releases: int
    falsifiers: int
    contracts: int = 0

    def lines(self) -> list[str]:
        """For people: problems first, then notes, then one line that sums up."""
        looked_at = f"{self.specs} specs, {self.releases} releases, {self.falsifiers} falsifiers, "
        looked_at += f"{self.contracts} contracts"
        state = f"{len(self.problems)} problems" if self.problems else "no problems"
        return [
            *map(str, self.problems),
            *(f"note: {note}" for note in self.notes),
            f"{state} in {looked_at}",
        ]

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "problems": [{"file": p.file, "line": p.line, "key": p.key, "message": p.message} for p in self.problems],
            "notes": list(self.notes),
            "specs": self.specs,
            "releases": self.releases,
            "falsifiers": self.falsifiers,
            "contracts": self.contracts,
        }


def check_files(
    paths: Sequence[Path],
    falsifier_folders: Sequence[Path],
    contract_folders: Sequence[Path] = (),
    *,
    documents: Sequence[Path] | None = None,
    run_contracts: bool = False,
    told: Callable[[Attempt], None] = lambda _attempt: None,
) -> Findings:
    """Every problem of the spec and release files at `paths` (folders: their YAML files, and releases/ below).

    And of the contracts in `contract_folders`, whose properties are run with `run_contracts`; `told` hears of each.
    Ids in `documents` must be known, too; None stands for README.md, ARCHITECTURE.md and docs/ beside the specs.
    Raises LoadingError for falsifiers that cannot be loaded: without them nothing can be checked.
    """
    registry = load_registry(falsifier_folders)
    spec_paths, release_paths = find_files(paths)
    problems: list[Problem] = []
    specs: list[LoadedSpec] = []
    for path in spec_paths:
        try:
            specs.append(load_spec(path))
        except SpecError as error:
            problems += error.problems
    problems += check_specs(specs, registry)
    notes: list[str] = []
    for path in release_paths:
        faults, remarks = _check_release(path, specs, registry, falsifier_folders)
        problems += faults
        notes += remarks
    notes += _choice(release_paths)
    if not problems:  # a faulty bar would be told again, by the controls that it breaks
        problems += rehearse(specs, registry)
    if not problems:  # a misspelt name would be told a second time, as an orphan
        faults, remarks = _trace(paths, specs, _own(registry, falsifier_folders), documents)
        problems += faults
        notes += remarks
    if not spec_paths:
        problems.append(Problem(", ".join(map(str, paths)), 0, "", "[spec/none] there is no spec here"))
    contracts, faults = check_contracts(contract_folders, run=run_contracts, told=told)
    problems += faults
    return Findings(tuple(problems), tuple(notes), len(spec_paths), len(release_paths), len(registry), contracts)


def _choice(releases: Sequence[Path]) -> list[str]:
    """Which of several releases a gate takes, and how to say another."""
    if len(releases) < 2:
        return []
    listed = ", ".join(map(str, releases))
    taken = next((path for path in releases if path.name == DEFAULT_RELEASE.name), None)
    takes = "takes none of them unasked" if taken is None else f"takes {taken} unasked"
    return [f"{len(releases)} releases ({listed}): `refute gate` {takes}; name one with --release FILE"]


def _check_release(
    path: Path, specs: Sequence[LoadedSpec], registry: Registry, folders: Sequence[Path]
) -> tuple[list[Problem], list[str]]:
    try:
        loaded = load_release(path)
        demanded = {resolve(loaded, name).resolve() for name in loaded.release.specs}
        own = [spec for spec in specs if not demanded or spec.path.resolve() in demanded]
        parsed = [spec.spec for spec in own]
        known = [use for use in uses_of(parsed) if use.uses in registry]
        others = gate_experiments(known, registry, folders, loaded.release.run_class)
        plan = plan_for(loaded.release, path.parent, parsed, registry, others=others)
        lacking = [*unprovided(loaded, own, registry, plan), *unreadable(loaded, own, registry)]
    except SpecError as error:
        return list(error.problems), []
    except RefuteError as error:
        return [Problem(str(path), 1, "", f"[release/contradiction] {error}")], []
    absent = [name for name in loaded.release.specs if not resolve(loaded, name).is_file()]
    problems = lacking + [
        Problem(str(path), 1, "specs", f"[release/no-such-spec] there is no file {name}") for name in absent
    ]
    told = tuple(f"{problem.key}:" for problem in lacking)
    missing = [line for line in missing_inputs(loaded.release, path.parent) if not line.startswith(told)]
    notes = [f"{path}: not on this machine: {line}" for line in missing]
    notes += [f"{path}: a verdict that is required: {line}" for line in missing_required(loaded)]
    return problems, notes


def _own(registry: Registry, folders: Sequence[Path]) -> dict[str, Falsifier]:
    """Falsifiers whose files lie in `folders`: a repository need not use all that an installed pack offers."""
    roots = [folder.resolve() for folder in folders]
    return {
        name: declared
        for name, declared in registry.items()
        if any(declared.file.resolve().is_relative_to(root) for root in roots)
    }


def _trace(
    paths: Sequence[Path], specs: Sequence[LoadedSpec], own: Mapping[str, Falsifier], documents: Sequence[Path] | None
) -> tuple[list[Problem], list[str]]:
    parsed = [loaded.spec for loaded in specs]
    texts = [*(_documents(paths) if documents is None else documents), *sorted({each.file for each in own.values()})]
    problems = [*unused(parsed, own), *unknown_ids(specs, texts)]
    notes: list[str] = []
    for folder in sorted({loaded.path.parent for loaded in specs}):
        here = [loaded.spec for loaded in specs if loaded.path.parent == folder]
        try:
            reviews = read_reviews(folder / REVIEWS)
        except SpecError as error:
            problems += error.problems
            continue
        if reviews is None:
            notes.append(f"{folder} has no {REVIEWS}: a changed criterion makes no suspects until `refute review`")
        else:
            problems += suspects(here, reviews, folder / REVIEWS)
    return problems, notes


def _documents(paths: Sequence[Path]) -> list[Path]:
    """What people read beside spec folders."""
    roots = sorted({path.resolve().parent for path in paths if path.is_dir()})
    named = [root / name for root in roots for name in ("README.md", "ARCHITECTURE.md")]
    return [path for path in named if path.is_file()] + [
        path for root in roots for path in sorted((root / "docs").rglob("*.md"))
    ]
