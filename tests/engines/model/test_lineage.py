"""Lineage: equal models have equal digests across formats, and every difference that matters shows."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import AddedToken

from refute.engines.distill.experiments.teacher import dequantise, lineage, probe_teacher
from refute.engines.model.lineage import describe_model, first_difference, json_sha256, without_padding
from refute.errors import ExperimentError

Fixture = Any  # from conftest.py, which is no module that tests can import


def test_one_model_in_two_formats_has_one_token_list_and_one_size(workshop: Fixture) -> None:
    """GGUF and folder of one model differ only in the weights' digest and what a GGUF says of special ids."""
    model = workshop.model("llama")
    folder, tokens = describe_model(workshop.hf_source, workshop.folder(model))
    file, file_tokens = describe_model(workshop.gguf_source, workshop.gguf_file(model))
    assert file.sha256 == hashlib.sha256((workshop.root / "model.gguf").read_bytes()).hexdigest()
    assert folder.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert (folder.vocab_rows, folder.tokens, folder.layers, folder.hidden_size) == (300, 300, 2, 64)
    apart = {"sha256": "", "special_tokens": {}}
    assert file.model_copy(update=apart) == folder.model_copy(update=apart)
    assert file_tokens == tokens
    assert (file.special_tokens["eos"], folder.special_tokens["eos"]) == (0, 0)


def test_one_token_one_merge_or_one_template_changes_its_own_digest(workshop: Fixture) -> None:
    """A changed token, merge or chat template shows in the field that is about it, and only there."""
    folder = workshop.folder(workshop.model("llama"))
    before, tokens = describe_model(workshop.hf_source, folder)
    path = folder / "tokenizer.json"
    original = path.read_text(encoding="utf-8")
    content = json.loads(original)
    content["model"]["merges"][-2:] = content["model"]["merges"][:-3:-1]
    path.write_text(json.dumps(content), encoding="utf-8")
    merged, _ = describe_model(workshop.hf_source, folder)
    assert merged.merges_sha256 != before.merges_sha256
    assert merged.model_copy(update={"merges_sha256": before.merges_sha256}) == before
    path.write_text(original, encoding="utf-8")
    (folder / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    templated, _ = describe_model(workshop.hf_source, folder)
    assert before.chat_template_sha256 is None
    assert templated.chat_template_sha256 == json_sha256("{{ messages }}")
    other = workshop.tokenizer.__class__.from_pretrained(folder)
    other.add_tokens(AddedToken("<new>"))
    other.save_pretrained(folder)
    added, more = describe_model(workshop.hf_source, folder)
    assert (added.tokens, first_difference(tokens, more)) == (301, 300)
    assert added.tokens_sha256 != before.tokens_sha256


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [([], [], None), (["a"], ["a"], None), (["a", "b"], ["a", "c"], 1), (["a"], ["a", "b"], 1), ([], ["a"], 0)],
)
def test_first_difference_counts_the_shorter_lists_end(
    left: list[str | None], right: list[str | None], expected: int | None
) -> None:
    """The first differing id, whether by content or by length."""
    assert first_difference(left, right) == expected


def test_padding_at_the_end_is_no_difference_of_vocabulary() -> None:
    """152,064 and 151,936 rows over the same tokens are one list; padding names elsewhere are tokens."""
    assert without_padding(["a", "b", "[PAD2]", "[PAD3]"]) == ["a", "b"]
    assert without_padding(["[PAD0]", "b", "[PAD7]"]) == ["[PAD0]", "b", "[PAD7]"]


def test_digest_keeps_newlines_and_boundaries_apart() -> None:
    """Two token lists that join to one text have two digests; a lone surrogate has one too."""
    assert json_sha256(["a\nb"]) != json_sha256(["a", "b"])
    assert len(json_sha256(["\ud800"])) == 64


def test_the_lineage_experiment_writes_both_and_where_they_part(workshop: Fixture, make_job: Fixture) -> None:
    """lineage.json holds teacher, init and null for equal token lists."""
    model = workshop.model("llama")
    path, folder = workshop.gguf_file(model), workshop.folder(model)
    folder.rename(folder.with_name("model"))
    teacher = {"model": workshop.gguf_source.model_dump(mode="json"), "path": str(path)}
    job = make_job("lineage", {"teacher": teacher}, {"init": workshop.root})
    lineage(job)
    written = json.loads((job.out / "lineage.json").read_text(encoding="utf-8"))
    assert written["first_token_difference"] is None
    assert written["teacher"]["tokens_sha256"] == written["init"]["tokens_sha256"]
    assert written["teacher"]["sha256"] != written["init"]["sha256"]


@pytest.mark.slow
def test_the_probe_compares_provider_and_reference_on_the_corpus(workshop: Fixture, make_job: Fixture) -> None:
    """The dequantised teacher answers as its GGUF file does; a corpus that is too small is refused."""
    path = workshop.gguf_file(workshop.model("llama"), block_format="Q8_0")
    ids = np.random.default_rng(0).integers(0, 300, (3, 20), dtype=np.int32)
    save_file({"tokens": ids}, workshop.root / "heldout.safetensors")
    (workshop.root / "manifest.json").write_text('{"beginning_of_sequence": null}', encoding="utf-8")
    original = {"model": workshop.gguf_source.model_dump(mode="json"), "path": str(path)}
    dequantised = make_job("teacher", {"teacher": original}, {})
    dequantise(dequantised)
    teacher = {"model": {"format": "hf", "path": "model"}, "path": str(dequantised.out / "model")}
    config = {"teacher": teacher, "reference": original, "windows": 2, "tokens": 12, "device": "cpu", "threads": 2}
    job = make_job("probe", config, {"corpus": workshop.root})
    probe_teacher(job)
    facts, rolled = (json.loads((job.out / f"{name}.json").read_text(encoding="utf-8")) for name in ("probe", "rolled"))
    # The same provider with one matrix rolled: this very probe sees that it is another.
    assert rolled["max_abs"] > 1e-2 > 10 * facts["max_abs"]
    assert load_file(job.out / "rolled.safetensors").keys() == load_file(job.out / "probe.safetensors").keys()
    stored = load_file(job.out / "probe.safetensors")
    assert facts["positions"] == 24
    assert facts["max_abs"] <= 1e-4
    assert (facts["top1_agreement"], facts["second_forward_max_abs"], facts["vocab_rows"]) == (1.0, 0.0, 300)
    assert np.array_equal(stored["input_ids"], ids[:2, :12])
    assert stored["provider"].shape == stored["reference"].shape == (2, 8, 300)
    assert 0 < np.abs(stored["provider"] - stored["reference"]).max() <= facts["max_abs"] + 1e-6
    with pytest.raises(ExperimentError, match=r"2 held-out windows of 21 tokens, found \(3, 20\)"):
        probe_teacher(make_job("large", config | {"tokens": 21}, {"corpus": workshop.root}))


@pytest.mark.slow
def test_windows_without_the_beginning_that_the_file_states_are_not_what_the_model_reads(
    workshop: Fixture, make_job: Fixture
) -> None:
    """llama.cpp begins each text with a token, the corpus does not: the probe sees other logits, and another loss. Laid
    out as the file says, they are the same. Starts llama.cpp twice."""
    model = workshop.model("llama")
    folder, file = workshop.folder(model), workshop.gguf_file(model, begins=True)
    original = {"model": workshop.gguf_source.model_dump(mode="json"), "path": str(file)}
    teacher = {"model": {"format": "hf", "path": "model"}, "path": str(folder)}
    config = {"teacher": teacher, "reference": original, "windows": 2, "tokens": 12, "device": "cpu", "threads": 1}
    ids = np.random.default_rng(0).integers(1, 300, (2, 12), dtype=np.int32)

    def probe(begin: int | None) -> dict[str, float]:
        ids[:, 0] = 5 if begin is None else begin
        save_file({"tokens": ids}, workshop.root / "heldout.safetensors")
        manifest = json.dumps({"beginning_of_sequence": begin})
        (workshop.root / "manifest.json").write_text(manifest, encoding="utf-8")
        job = make_job(f"probe-{begin}", config, {"corpus": workshop.root})
        probe_teacher(job)
        assert load_file(job.out / "probe.safetensors")["input_ids"].shape == (2, 12)
        facts: dict[str, float] = json.loads((job.out / "probe.json").read_text(encoding="utf-8"))
        return facts

    bare, begun = probe(None), probe(0)
    assert begun["max_abs"] <= 1e-4 < 1e-2 < bare["max_abs"]
    assert begun["loss"] == pytest.approx(begun["documented_loss"], abs=1e-5)
    assert abs(bare["loss"] - bare["documented_loss"]) > 1e-3
