"""What did quantising lose, and is each file what its label says?"""

from __future__ import annotations

from refute.engines.export.experiments.exports import exported, reference
from refute.engines.export.proofs.quantisation import compare_blocks, known_bad, open_blocks
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.evidence.export import Quantisation, Quantisations
from refute.spec.experiments.evidence_files import QUANTISATION
from refute.spec.experiments.export import ProofConfig
from refute.spec.experiments.parsing import parse_config
from refute.spec.publication import ExportLabel


def prove_quantisation(job: Job) -> None:
    """Write quantisation.json: the `Quantisations` of every file, that of full precision too, and of planted faults.

    Raises ExperimentError where an export that the release names was refused: its card names the file.
    """
    parse_config(ProofConfig, job)
    folder, made = exported(job)
    for label, why in made.refused.items():
        raise ExperimentError(
            f"the release is to have a file of {label}, which was refused: {why}",
            hint=f"take {label} out of the release's `exports`, or name another label there",
        )
    path, file = reference(job)
    full, layers = open_blocks(path)
    found: list[Quantisation] = []
    bad: dict[str, Quantisation] = {}
    for done, each in enumerate(made.files, start=1):
        blocks, _ = open_blocks(folder / each.file)
        found.append(compare_blocks(each.file, ExportLabel(each.label), layers, blocks, full))
        bad |= {
            f"{each.label} {name}": one
            for name, one in known_bad(ExportLabel(each.label), layers, blocks, full).items()
        }
        job.progress("compare tensors", done, len(made.files))
    QUANTISATION.write(job.out, Quantisations(reference=file.file, files=tuple(found), known_bad=bad))
