"""The plan of a publication: a table with one row an experiment. A new experiment is a new row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from refute.evidence.experiment import Experiment, Locate
from refute.evidence.planned.configurations import Parts, evaluation
from refute.evidence.planned.humaneval_backend import exported_file
from refute.evidence.sources import located_folder
from refute.spec.experiments import evidence_files as names
from refute.spec.experiments.export import AskAgainConfig, ConversionConfig, ExportConfig, ProofConfig, UsageConfig
from refute.spec.experiments.humaneval import EvidenceModel, FormatsConfig
from refute.spec.experiments.publication import (
    GenerationsConfig,
    LintStagedConfig,
    RehearseConfig,
    SignConfig,
    StageConfig,
)
from refute.spec.fields import Closed
from refute.spec.publication import Publication


@dataclass(frozen=True, slots=True)
class Publishing:
    """What configurations are made of: the release's id, its publication, and what its distillation is made of."""

    release: str
    publication: Publication
    distilled: Parts


@dataclass(frozen=True, slots=True)
class Row:
    """One experiment: its name, what a console calls it, its entry (`module:function`), the evidence it builds on.

    `configure` makes its configuration. Where `planned` says no, the release has no such experiment, and nobody who
    needs it waits for it.
    """

    name: str
    title: str
    entry: str
    needs: tuple[str, ...]
    configure: Callable[[Publishing, Locate], Closed]
    planned: Callable[[Publishing], bool] = lambda _parts: True


def _stage(parts: Publishing, at: Locate) -> StageConfig:
    licence = parts.distilled.base / Path(parts.publication.licence_file).expanduser()
    return StageConfig(release=parts.release, publication=parts.publication, licence_path=at(located_folder(licence)))


def _rehearse(parts: Publishing, _at: Locate) -> RehearseConfig:
    return RehearseConfig(publication=parts.publication)


def _lint(_parts: Publishing, _at: Locate) -> LintStagedConfig:
    return LintStagedConfig()


def _sign(_parts: Publishing, _at: Locate) -> SignConfig:
    return SignConfig()


def _generations(parts: Publishing, _at: Locate) -> GenerationsConfig:
    return GenerationsConfig(threads=parts.distilled.release.threads)


def _export(parts: Publishing, _at: Locate) -> ExportConfig:
    return ExportConfig(name=parts.publication.name, labels=parts.publication.exports)


def _convert(parts: Publishing, _at: Locate) -> ConversionConfig:
    return ConversionConfig(threads=parts.distilled.release.threads)


def _prove(parts: Publishing, _at: Locate) -> ProofConfig:
    return ProofConfig(threads=parts.distilled.release.threads)


def _ask(parts: Publishing, at: Locate) -> FormatsConfig:
    student = EvidenceModel(kind="evidence", name=names.STUDENT)
    file = exported_file()
    asked = evaluation(parts.distilled, at, names.HUMANEVAL_FORMATS, student, file)
    most = parts.publication.format_problems
    return FormatsConfig.model_validate({**dict(asked), "backend": file, "problems_at_most": most})


def _ask_again(parts: Publishing, _at: Locate) -> AskAgainConfig:
    return AskAgainConfig(threads=parts.distilled.release.threads)


def _use(parts: Publishing, _at: Locate) -> UsageConfig:
    return UsageConfig(name=parts.publication.repo, threads=parts.distilled.release.threads)


ROWS = (
    Row(
        names.EXPORTED,
        "write the student as GGUF files",
        "refute.engines.export.experiments.exports:export",
        (names.STUDENT,),
        _export,
    ),
    Row(
        names.CONVERTED,
        "compare the GGUF file in llama.cpp with the folder in transformers",
        "refute.engines.export.experiments.conversion:prove_conversion",
        (names.CORPUS, names.STUDENT, names.EXPORTED),
        _convert,
    ),
    Row(
        names.QUANTISED,
        "compare quantised files with the one in full precision",
        "refute.engines.export.experiments.quantisation:prove_quantisation",
        (names.EXPORTED,),
        _prove,
    ),
    Row(
        names.TOKENISED,
        "read texts, and end them, by folder and files",
        "refute.engines.export.experiments.tokens:prove_tokens",
        (names.INIT, names.STUDENT, names.EXPORTED),
        _prove,
    ),
    Row(
        names.RENDERED,
        "render conversations by folder and file",
        "refute.engines.export.experiments.tokens:prove_templates",
        (names.STUDENT, names.EXPORTED),
        _prove,
    ),
    Row(
        names.HUMANEVAL_FORMATS,
        "HumanEval: each GGUF file answers for itself",
        "refute.engines.humaneval.experiments.formats:ask_formats",
        (names.EXPORTED,),
        _ask,
    ),
    Row(
        names.STAGED,
        "lay out the release as a hub is to hold it",
        "refute.engines.publish.experiments.stage:stage",
        (
            *(names.STUDENT, names.EXPORTED, names.LINEAGE),
            *(names.HUMANEVAL_STUDENT, names.HUMANEVAL_INIT, names.HUMANEVAL_FORMATS),
        ),
        _stage,
    ),
    Row(
        names.STAGED_LINT,
        "look for what breaks at a stranger's",
        "refute.engines.publish.experiments.lint:lint_staged",
        (names.STAGED,),
        _lint,
    ),
    Row(
        names.FORMATS_AGAIN,
        "ask the staged files for some of their answers again",
        "refute.engines.export.experiments.ask_again:ask_again",
        (names.HUMANEVAL_FORMATS, names.STAGED),
        _ask_again,
    ),
    Row(
        names.USED,
        "use it as strangers do: three engines, each alone, without a network",
        "refute.engines.export.experiments.usage:try_paths",
        (names.STAGED,),
        _use,
    ),
    Row(
        names.GENERATIONS,
        "open it with an older transformers and the installed one",
        "refute.engines.model.generations.try_both:try_both_generations",
        (names.STAGED,),
        _generations,
    ),
    Row(
        names.SIGNED,
        "sign it by keys of the moment, and read it as strangers do",
        "refute.engines.publish.experiments.sign:sign",
        (names.STAGED,),
        _sign,
    ),
    Row(
        names.REHEARSAL,
        "publish it to a hub on this machine, and meet every fault",
        "refute.engines.publish.experiments.rehearse:rehearse",
        (names.STAGED,),
        _rehearse,
    ),
)


def publication_experiments(parts: Publishing) -> Iterator[Experiment]:
    """The experiments of `parts`, in the order of the table."""
    left_out = {row.name for row in ROWS if not row.planned(parts)}
    for row in ROWS:
        if row.name not in left_out:
            needs = tuple(need for need in row.needs if need not in left_out)
            limit_s = parts.distilled.release.limits.prepare_s
            yield Experiment(row.name, row.title, row.entry, partial(row.configure, parts), needs, limit_s)
