"""The init is the best measured cut of its teacher, saved as it was measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from refute.engines.distill.experiments.init import build_init, mean_loss
from refute.engines.distill.experiments.pruning import candidate_subsets, keep_layers
from refute.errors import ExperimentError
from refute.job import Job


def config(init: Mapping[str, object], teacher: Path, **changes: object) -> dict[str, object]:
    """An init configuration with the teacher folder `teacher`."""
    place = {"model": {"format": "hf", "path": "teacher"}, "path": str(teacher)}
    machine = {"device": "cpu", "threads": 1}
    return {
        "init": init,
        "teacher": place,
        "init_path": None,
        "probe_windows": 3,
        "skip_windows": 4,
        **machine,
        **changes,
    }


PRUNE = {"method": "depth_prune", "keep_layers": 2}


def test_candidates_hold_blocks_even_spacing_and_alternation() -> None:
    """Six layers cut to three: four blocks, the even spread, both alternations, none twice, each ascending."""
    found = candidate_subsets(6, 3)
    blocks = [(3, 4, 5), (0, 4, 5), (0, 1, 5), (0, 1, 2)]
    assert sorted(found) == sorted({*blocks, (0, 2, 5), (0, 2, 4), (1, 3, 5)})
    assert all(list(subset) == sorted(set(subset)) for subset in candidate_subsets(30, 12))


@pytest.mark.parametrize("keep", [0, 4, 5])
def test_keeping_none_or_all_layers_is_refused(keep: int) -> None:
    """A student as deep as its teacher is not a student."""
    with pytest.raises(ExperimentError, match=rf"keep_layers = {keep}, the teacher has 4 layers"):
        candidate_subsets(4, keep)


def test_kept_layers_compute_what_the_teachers_layers_compute(teacher_folder: Path) -> None:
    """The cut model equals the teacher with the other layers bypassed by hand."""
    teacher = AutoModelForCausalLM.from_pretrained(teacher_folder).eval()
    ids = torch.arange(12)[None]
    with torch.no_grad():
        cut = keep_layers(teacher, (0, 3))(input_ids=ids, use_cache=False).logits
        layers = teacher.model.layers
        teacher.model.layers = torch.nn.ModuleList([layers[0], layers[3]])
        assert torch.equal(cut, teacher(input_ids=ids, use_cache=False).logits)


def test_keeping_every_layer_is_the_teacher(teacher_folder: Path) -> None:
    """Buffers and tied weights arrive too: nothing but depth changes."""
    teacher = AutoModelForCausalLM.from_pretrained(teacher_folder).eval()
    copy = keep_layers(teacher, range(4))
    ids = torch.arange(12)[None]
    with torch.no_grad():
        assert torch.equal(copy(input_ids=ids).logits, teacher(input_ids=ids).logits)
    assert copy.lm_head.weight is copy.model.embed_tokens.weight


@pytest.mark.slow
def test_choice_is_the_best_candidate_and_is_what_was_saved(
    make_job: Callable[..., Job], teacher_folder: Path, corpus_evidence: Path
) -> None:
    """The saved folder reproduces the lowest candidate's loss on windows that evaluation does not use."""
    job = make_job("init", config(PRUNE, teacher_folder), {"corpus": corpus_evidence})
    build_init(job)
    choice = json.loads((job.out / "choice.json").read_text(encoding="utf-8"))
    losses = {tuple(row["layers"]): row["loss"] for row in choice["candidates"]}
    assert set(losses) == set(candidate_subsets(4, 2))
    assert losses[tuple(choice["chosen"])] == min(losses.values())
    assert choice["init_loss"] == pytest.approx(min(losses.values()), rel=1e-6)
    assert choice["parameters_init"] < choice["parameters_teacher"]
    saved = AutoModelForCausalLM.from_pretrained(job.out / "model")
    assert saved.config.num_hidden_layers == 2
    assert saved.dtype is torch.float32
    assert sum(parameter.numel() for parameter in saved.parameters()) == choice["parameters_init"]
    teachers = AutoTokenizer.from_pretrained(teacher_folder)
    assert AutoTokenizer.from_pretrained(job.out / "model").get_vocab() == teachers.get_vocab()


@pytest.mark.slow
def test_probe_windows_come_after_those_of_the_evaluation(
    make_job: Callable[..., Job], teacher_folder: Path, corpus_evidence: Path
) -> None:
    """Another number of skipped windows measures on other text."""
    losses = []
    for skip in (0, 4):
        job = make_job(f"init{skip}", config(PRUNE, teacher_folder, skip_windows=skip), {"corpus": corpus_evidence})
        build_init(job)
        losses.append(json.loads((job.out / "choice.json").read_text(encoding="utf-8"))["teacher_loss"])
    assert losses[0] != losses[1]


def test_too_few_heldout_windows_names_the_numbers(
    make_job: Callable[..., Job], teacher_folder: Path, corpus_evidence: Path
) -> None:
    """The corpus has 12 held-out windows; 10 for evaluation leave too few to choose with."""
    job = make_job("init", config(PRUNE, teacher_folder, skip_windows=10), {"corpus": corpus_evidence})
    with pytest.raises(ExperimentError, match=r"12 held-out windows; 10 for evaluation and 3 .* need 13"):
        build_init(job)


def test_a_loaded_init_keeps_its_weights_and_is_written_for_both_generations(
    make_job: Callable[..., Job], teacher_folder: Path, init_evidence: Path, corpus_evidence: Path
) -> None:
    """Weights and vocabulary to the byte, no setting changed; its choice says that nothing was chosen."""
    source = init_evidence / "model"
    load = {"method": "load", "model": {"format": "hf", "path": "init"}}
    job = make_job("init", config(load, teacher_folder, init_path=str(source)), {"corpus": corpus_evidence})
    build_init(job)
    choice, made = json.loads((job.out / "choice.json").read_text(encoding="utf-8")), job.out / "model"
    for name in ("model.safetensors", "tokenizer.json"):
        assert (made / name).read_bytes() == (source / name).read_bytes()
    before, after = (json.loads((folder / "config.json").read_text(encoding="utf-8")) for folder in (source, made))
    assert {key: after[key] for key in before} == before
    assert after["rope_theta"] == after["rope_parameters"]["rope_theta"]
    assert (choice["method"], choice["chosen"], choice["candidates"]) == ("load", None, [])


def test_loss_matches_transformers_own(teacher_folder: Path) -> None:
    """Nat per predicted token, as transformers computes it from labels."""
    teacher = AutoModelForCausalLM.from_pretrained(teacher_folder).eval()
    windows = torch.arange(48).reshape(3, 16)
    with torch.no_grad():
        expected = teacher(input_ids=windows, labels=windows).loss.item()
    assert mean_loss(teacher, windows) == pytest.approx(expected, rel=1e-5)
