"""The proofs of an export: a student and its files in real engines, and each planted fault seen by the proof that is
for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from builtin_uses import REGISTRY, USES
from exported_student import Desk
from refute.disk import file_sha256
from refute.engines.export.experiments.conversion import prove_conversion
from refute.engines.export.experiments.exports import export
from refute.engines.export.experiments.quantisation import prove_quantisation
from refute.engines.export.experiments.tokens import prove_templates, prove_tokens
from refute.engines.export.proofs.conversion import compare, in_llama_cpp, in_transformers
from refute.engines.model.folder import load_model, round_weights, save_model
from refute.errors import ExperimentError
from refute.falsifier.context import Context, Evidence
from refute.outcome import Outcome
from refute.spec.bars.decide import control_outcome
from refute.spec.experiments.evidence.export import Conversion, Divergence, Quantisation
from refute.spec.experiments.evidence_files import (
    CONVERSION,
    CORPUS,
    EXPORTED,
    EXPORTS,
    QUANTISATION,
    STUDENT,
    TEMPLATES,
    TOKENS,
)


def worst(found: Divergence) -> float:
    """The mean divergence of a comparison."""
    return sum(found.kl) / len(found.kl)


@pytest.mark.slow  # a dozen files in llama.cpp
def test_a_conversion_is_proven_and_planted_faults_are_not(desk: Desk) -> None:
    """Float16 apart, llama.cpp predicts what transformers does; of no faulty conversion is that so."""
    out = desk.run(prove_conversion, "converted", positions=33, far=60, threads=1)
    found: Conversion = CONVERSION.read(out, "converted")
    assert (worst(found.divergence) < 1e-3, max(found.divergence.kl) < 1e-2) == (True, True)
    assert (len(found.divergence.kl), max(found.divergence.positions)) == (33, 60)
    assert set(found.known_bad) == {
        *("other_rope_base", "another_head", "unpermuted_queries_and_keys", "swapped_layers", "lost_rope_factors")
    }
    assert {name: worst(each) > 1e-3 for name, each in found.known_bad.items()} == dict.fromkeys(found.known_bad, True)


def test_too_little_text_proves_nothing(desk: Desk) -> None:
    """The far position needs text before it."""
    save_file({"tokens": np.zeros((1, 8), np.int32)}, desk.root / CORPUS / "heldout.safetensors")
    with pytest.raises(ExperimentError, match="needs 61 held-out tokens, found 8"):
        desk.run(prove_conversion, "converted", positions=33, far=60, threads=1)


def error(found: Quantisation) -> float:
    """The largest relative error of its tensors, or infinity where numbers are none."""
    return max(float("inf") if each.not_finite else each.relative_l2 for each in found.tensors)


def test_quantised_files_are_as_near_as_their_blocks(desk: Desk) -> None:
    """And a planted fault is further off than any."""
    found = QUANTISATION.read(desk.run(prove_quantisation, "quantised", threads=1), "quantised")
    by_label = {each.label: each for each in found.files}
    assert 0 < error(by_label["Q8_0"]) < 0.01 < error(by_label["Q4_0"]) < 0.12
    assert (by_label["Q8_0"].label_bits, by_label["Q4_0"].label_bits) == (8.5, 4.5)
    assert {name: error(each) > 0.09 for name, each in found.known_bad.items()} == dict.fromkeys(found.known_bad, True)
    assert (list(by_label), len(found.known_bad)) == (["F16", "Q8_0", "Q4_0"], 9)


def test_a_release_of_no_quantised_file_is_judged_by_its_own(bare: Desk) -> None:
    """`exports` may be left out: the file of full precision stands, and each fault that is planted into it does not."""
    bare.run(export, EXPORTED, name="tiny", labels=[])
    found = QUANTISATION.read(bare.run(prove_quantisation, "quantised", threads=1), "quantised")
    name = "publication-quantisation"
    use = next(use for use in USES if use.uses == name)

    def outcome(file: Quantisation) -> Outcome:
        rows = {"files": [file.model_dump(mode="json")]}
        (bare.root / "quantised/quantisation.json").write_text(json.dumps(rows), encoding="utf-8")
        files = {"quantisation.json": file_sha256(bare.root / "quantised/quantisation.json")}
        evidence = Evidence("quantised", "d" * 64, bare.root / "quantised", files)
        return control_outcome(use, [*REGISTRY[name].measure(Context({}, {"quantised": evidence}))])[0]

    assert [(each.label, outcome(each)) for each in found.files] == [("F16", Outcome.CORROBORATED)]
    assert {name: outcome(each) for name, each in found.known_bad.items()} == dict.fromkeys(
        ("F16 another_layers_tensor", "F16 nan_block", "F16 a_tenth_larger"), Outcome.FALSIFIED
    )


@pytest.mark.slow  # two files in llama.cpp
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_files_of_a_student_in_sixteen_bits_are_that_student(bare: Desk, dtype: torch.dtype) -> None:
    """By the bars that hold for float32: F16 has every number of either, and BF16 loses what eight bits cannot hold."""
    folder = bare.root / STUDENT / "model"
    model = load_model(folder, device="cpu")
    round_weights(model, dtype)
    precise = Path(shutil.move(folder, bare.root.parent / "precise"))
    save_model(model, folder, tokenizer_from=precise, dtype=dtype)
    bare.run(export, EXPORTED, name="tiny", labels=["BF16"])
    found = QUANTISATION.read(bare.run(prove_quantisation, "quantised", threads=1), "quantised")
    lost = {each.label: error(each) for each in found.files}
    assert (lost["F16"], lost["BF16"] < 1e-6, lost["BF16"] < 0.005) == (0, dtype == torch.bfloat16, True)
    ids, places = list(range(3, 64)), (3, 20, 60)
    expected = in_transformers(load_model(folder, device="cpu"), ids, places)
    for label, most in (("F16", 1e-3), ("BF16", 1e-2)):
        said = in_llama_cpp(bare.root / EXPORTED / f"gguf/tiny.{label}.gguf", ids, places, 300, 1)
        assert worst(compare(expected, said, places)) < most


def test_a_label_that_was_refused_is_not_passed_over(bare: Desk) -> None:
    """The card names that file: without it there is no release."""
    made = EXPORTS.read(bare.run(export, EXPORTED, name="tiny", labels=["Q8_0", "Q4_K_M"]), EXPORTED)
    assert [each.label for each in made.files] == ["F16", "Q8_0"]
    assert "100% of its weights" in made.refused["Q4_K_M"]
    with pytest.raises(ExperimentError, match=r"a file of Q4_K_M, which was refused: .*100% of its weights"):
        bare.run(prove_quantisation, "quantised", threads=1)


@pytest.mark.slow  # a dozen files in llama.cpp
def test_tokens_and_ends_agree_and_planted_faults_do_not(desk: Desk) -> None:
    """Every probe is the same ids in every file, both engines stop, and each fault is noticed."""
    found = TOKENS.read(desk.run(prove_tokens, "tokenised", threads=1), "tokenised")
    for readings in found.readings:
        assert [each for each in readings.texts if each.folder != each.llama_cpp] == [], readings.file
    assert len({text.kind for text in found.readings[0].texts}) > 12
    assert (found.beside_init.differing, found.beside_init.n > 400) == (0, True)
    over = found.ends.turn_end
    assert found.ends.tokenizer == (over,)
    assert set(found.ends.gguf) == {over, 0} == set(found.ends.generation_config)
    assert found.ends.stops == {"transformers": 1, "llama.cpp": 1}
    assert found.known_bad_ends.gguf != found.ends.gguf
    noticed = {
        fault: sum(each.folder != each.llama_cpp for each in readings.texts)
        for fault, readings in found.known_bad.items()
    }
    assert set(noticed) == {"without_splitting", "every_token_normal", "swapped_tokens", "dropped_added_token"}
    assert {fault: count > 0 for fault, count in noticed.items()} == dict.fromkeys(noticed, True)


@pytest.mark.slow  # a dozen files in llama.cpp
def test_conversations_are_rendered_alike_and_planted_faults_are_not(desk: Desk) -> None:
    """By two places in the folder, the file's metadata and llama.cpp."""
    found = TEMPLATES.read(desk.run(prove_templates, "rendered", threads=1), "rendered")
    assert {len(set(each.texts.values())) for each in found.renderings} == {1}
    assert (len(found.renderings), {each.begins for each in found.renderings}) == (7, {1})
    assert all(any(len(set(each.texts.values())) > 1 for each in bad) for bad in found.known_bad.values())
    assert set(found.known_bad) == {"without_template", "edited_template"}
