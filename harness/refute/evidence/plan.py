"""Release -> plan: the experiments of the built-in engines, and the files that a release brings itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from refute.errors import UsageError
from refute.evidence.experiment import Experiment, Plan, TakenFiles, TakenText, check_config
from refute.evidence.planned.configurations import Parts
from refute.evidence.planned.distillation import distillation_experiments, refuse_self_distillation
from refute.evidence.planned.dogfood import dogfood_experiments
from refute.evidence.planned.finished import finished_experiments, finished_inputs
from refute.evidence.planned.humaneval_backend import answers_from_export
from refute.evidence.planned.publication import Publishing, publication_experiments
from refute.evidence.planned.results import baseline_experiments, result_paths, results_experiments
from refute.evidence.sources import located_corpus, located_folder, located_model
from refute.evidence.spec_demands import error_shares, sequential_design
from refute.falsifier.registry import Falsifier
from refute.spec.bars.sequential import Design
from refute.spec.criteria import Spec
from refute.spec.experiments.evidence_files import RELEASE
from refute.spec.release import Loaded, Release


def plan_for(
    release: Release,
    base: Path,
    specs: Sequence[Spec],
    falsifiers: Mapping[str, Falsifier],
    *,
    others: Sequence[Experiment] = (),
) -> Plan:
    """`plan_release` as `specs` have it. Raises UsageError as it and `sequential_design` do."""
    design, shares = sequential_design(specs, falsifiers), error_shares(specs, falsifiers)
    return plan_release(release, base, sequential=design, error_shares=shares, others=others)


def plan_release(
    release: Release,
    base: Path,
    *,
    sequential: Design | None = None,
    error_shares: Mapping[str, float] = MappingProxyType({}),
    others: Sequence[Experiment] = (),
) -> Plan:
    """Every experiment that evidence may be asked from; `base` is the folder of the release file.

    With `sequential` there is one more, which lets the student answer until that test has decided. `error_shares` says
    of which evidence how many problems may have no verdict; of any other, none. `others` are experiments about
    something else than the release, such as the gate.

    Raises:
        UsageError: the release contradicts itself (teacher == init, an evidence name used twice), or the model of an
            experiment's configuration refuses what was made for it.
    """
    plan = {name: _own_files(name, base / path) for name, path in sorted(release.evidence.items())}
    built_in = [_release_itself(release), *others]
    if release.distillation is not None:
        refuse_self_distillation(release.distillation, base)
        parts = Parts(release.distillation, base, error_shares, sequential)
        built_in += distillation_experiments(parts)
        if release.publication is not None:
            built_in += publication_experiments(Publishing(release.release, release.publication, parts))
    if release.student is not None:
        built_in += finished_experiments(release.student, base, error_shares)
    built_in += [*results_experiments(release.results, base), *baseline_experiments(release.baseline, base)]
    if release.dogfood is not None:
        built_in += dogfood_experiments()
    asked = release.distillation or release.student
    if release.publication is None and asked is not None and answers_from_export(asked):
        raise UsageError(
            "humaneval.backend.student is missing: llama.cpp has no file of the student to answer from",
            hint="name a GGUF file, or state a `publication`, which exports one",
        )
    for experiment in built_in:
        if experiment.name in plan:
            raise UsageError(
                f"evidence.{experiment.name}: that name is taken by refute's own evidence",
                hint="give yours another name",
            )
        plan[experiment.name] = experiment
    for experiment in plan.values():
        check_config(experiment)
    return plan


def input_digests(release: Release, base: Path) -> dict[str, str]:
    """SHA-256 of every model, file and folder that the release names, by its place there; each is read once.

    A file that comes with its own SHA-256 is not read, for it is checked against that before every use. The
    standard library as a corpus is named by its interpreter. Raises MissingInputsError for what is not there.
    """
    found = {
        f"evidence.{name}": located_folder(base / path).digest() for name, path in sorted(release.evidence.items())
    }
    distillation = release.distillation
    if distillation is not None:
        found["distillation.teacher"] = located_model(distillation.teacher, base).digest()
        if isinstance(distillation.init, Loaded):
            found["distillation.init"] = located_model(distillation.init.model, base).digest()
        found["distillation.corpus"] = located_corpus(distillation.corpus, base).digest()
        found["distillation.humaneval.problems"] = distillation.humaneval.problems.sha256
        for role, source in distillation.gguf_files().items():
            found[f"distillation.humaneval.backend.{role}"] = source.sha256
    if release.student is not None:
        found |= finished_inputs(release.student, base)
    found |= {name: located_folder(path).digest() for name, path in result_paths(release.results, base).items()}
    if release.baseline is not None:
        found["baseline.verdict"] = located_folder(base / Path(release.baseline.verdict).expanduser()).digest()
    if release.publication is not None:
        licence = base / Path(release.publication.licence_file).expanduser()
        found["publication.licence_file"] = located_folder(licence).digest()
    return found


def _release_itself(release: Release) -> Experiment:
    """What was declared, for falsifiers that compare it with what was done."""
    return Experiment(RELEASE, "take in the release", None, lambda _at: TakenText(text=release.model_dump_json()))


def _own_files(name: str, path: Path) -> Experiment:
    return Experiment(name, f"take in {path.name}", None, lambda at: TakenFiles(path=at(located_folder(path))))
