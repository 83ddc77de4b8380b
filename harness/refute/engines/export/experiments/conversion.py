"""Is the GGUF file of full precision the model in the folder?"""

from __future__ import annotations

from functools import partial
from importlib.metadata import version

import torch
from safetensors.numpy import load_file

from refute.engines.export.experiments.exports import exported, reference
from refute.engines.export.gguf.file import export_gguf, read_source
from refute.engines.export.proofs.conversion import compare, in_llama_cpp, in_transformers, spread
from refute.engines.export.proofs.known_bad import conversions, lost_rope_factors
from refute.engines.model.folder import load_model
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.evidence.export import Conversion
from refute.spec.experiments.evidence_files import (
    CONVERSION,
    CORPUS,
    HELDOUT_WINDOWS,
    MODEL,
    STUDENT,
)
from refute.spec.experiments.export import REFERENCE, ConversionConfig
from refute.spec.experiments.parsing import parse_config

# At which a conversion with a planted fault is compared.
_KNOWN_BAD_POSITIONS = 4


def prove_conversion(job: Job) -> None:
    """Write conversion.json: the `Conversion` of held-out text (inputs `corpus`), of planted faults, and of every other
    file at half of the near positions.

    Raises ExperimentError where the corpus holds too little text, and as `export_gguf` and llama.cpp do.
    """
    config = parse_config(ConversionConfig, job)
    torch.set_num_threads(config.threads)
    folder = job.inputs[STUDENT].path(MODEL.name)
    path, file = reference(job)
    source = read_source(folder)
    rows = source.weights.shape.vocab_rows
    far = min(config.far, int(source.config["max_position_embeddings"]) - 1)
    places = spread(config.positions, far)
    ids = _text(job, far + 1)
    model = load_model(folder, device="cpu")
    expected = in_transformers(model, ids, places)
    ask = partial(in_llama_cpp, ids=ids, rows=rows, threads=config.threads)
    job.progress("compare", 0, 1)
    divergence = compare(expected, ask(path, positions=places), places)
    faulty = job.scratch / "faulty.gguf"
    bad = {}
    for done, (fault, altered) in enumerate(planted := conversions(source).items(), start=1):
        export_gguf(altered, faulty, REFERENCE, lambda *_: None)
        few = _places_for(fault, places)
        wanted = expected[[places.index(place) for place in few]]
        bad[fault] = compare(wanted, ask(faulty, positions=few), few)
        job.progress("compare planted faults", done, len(planted))
    faulty.unlink(missing_ok=True)
    near = slice(1, len(places) - 1, 2)
    gguf, made = exported(job)
    formats = {
        each.label: compare(expected[near], ask(gguf / each.file, positions=places[near]), places[near])
        for each in made.files
        if each.label != file.label
    }
    found = Conversion(
        file=file.file,
        label=file.label,
        llama_cpp=version("xllamacpp"),
        divergence=divergence,
        known_bad=bad,
        formats=formats,
    )
    CONVERSION.write(job.out, found)


def _places_for(fault: str, places: tuple[int, ...]) -> tuple[int, ...]:
    """Rotary divisors show far out; any other fault within the first tokens, which cost less."""
    if fault == lost_rope_factors.__name__:
        return places
    return (*places[: _KNOWN_BAD_POSITIONS - 1], places[-2])


def _text(job: Job, length: int) -> list[int]:
    file = job.inputs[CORPUS].path(HELDOUT_WINDOWS.name)
    tokens = load_file(file)["tokens"].reshape(-1)
    if len(tokens) < length:
        raise ExperimentError(
            f"the proof needs {length} held-out tokens, found {len(tokens)}", hint="raise corpus.heldout_tokens"
        )
    return [int(number) for number in tokens[:length]]
