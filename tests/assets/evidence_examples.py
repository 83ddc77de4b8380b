"""Whole evidence files of a small distillation, for whoever reads one: change what a test is about."""

from __future__ import annotations

from typing import Any

SHA = "ab" * 32

MODEL_IDENTITY: dict[str, Any] = {
    "sha256": SHA,
    "parameters": 10_000,
    "vocab_rows": 290,
    "hidden_size": 64,
    "layers": 2,
    "tokens": 290,
    "tokens_sha256": SHA,
    "merges_sha256": SHA,
    "special_tokens": {"bos": None, "eos": 0, "pad": None, "unk": None},
    "chat_template_sha256": None,
}
LINEAGE: dict[str, Any] = {"teacher": MODEL_IDENTITY, "init": MODEL_IDENTITY, "first_token_difference": None}
CORPUS_MANIFEST: dict[str, Any] = {
    "files": [{"path": "a.py", "sha256": SHA, "split": "train", "tokens": 64}],
    "dropped": {"contaminated": [], "duplicates": [], "undecodable": []},
    "benchmark_selfcheck": {"problems": 164, "rejected": 164},
    "ngram": 10,
    "shared_windows": 0,
    "train_windows_left_out": 0,
    "seq_len": 32,
    "python_version": "3.11.7",
    "tokenizer_sha256": SHA,
    "end_of_document": 0,
    "train_tokens": 64,
    "train_sha256": SHA,
    "heldout_tokens": 32,
    "heldout_sha256": SHA,
}
TRAINING_SUMMARY: dict[str, Any] = {
    "steps": 20,
    "supervised_tokens": 1240,
    "initial_heldout_ce": 3.5,
    "final_heldout_ce": 2.25,
    "initial_heldout_kl": 1.5,
    "final_heldout_kl": 0.5,
    "initial_probe_cosine": 0.25,
    "final_probe_cosine": 0.75,
    "best_heldout_ce": 2.25,
    "best_step": 20,
    "eval_windows": 1,
    "parameters": 5,
    "tensors": 2,
    "changed_tensors": 2,
    "teacher_sha256": SHA,
    "wall_s": 4.0,
    "tokens_per_s": 310.0,
    "device": "cpu",
    "dtype": "float32",
    "torch_version": "2.0",
    "threads": 2,
    "ranks": 1,
    "seed": 17,
    "effective_config": {
        "steps": 20,
        "batch_size": 2,
        "micro_batch_size": 2,
        "seq_len": 32,
        "learning_rate": 0.001,
        "min_learning_rate": 0.0,
        "ce_weight": 0.5,
        "kd_weight": 0.5,
        "temperature": 2.0,
        "eval_every": 10,
        "eval_windows": 1,
        "checkpoint_every": 10,
    },
    "identity": {},
    "model_step": 20,
    "dropped_mass": None,
}
_ASKED = {"label": "F16", "file": "m.F16.gguf", "sha256": SHA, "problems": 20, "passed": 1, "pass_at_1": 0.05}
FORMAT_SCORES: dict[str, Any] = {"llama_cpp": "b1", "drawn_of": 164, "seed": 17, "files": [_ASKED]}
EVALUATION_SUMMARY: dict[str, Any] = {
    "protocol": "chat_primed",
    "stop_sequences": ["\ndef "],
    "extraction": "the answer's beginning is given",
    "template_sha256": SHA,
    "system_prompt": None,
    "backend": {"kind": "transformers", "version": "5.0"},
    "max_new_tokens": 512,
    "batch_size": 8,
    "effective_sampler": {
        "method": "argmax",
        "temperature": 0.0,
        "n": 1,
        "repetition_penalty": 1.0,
        "top_p": 1.0,
        "seed": None,
    },
    "sampler_reported_by": "the sampler",
    "samples_depend_on": "nothing else",
    "repeated": {"samples": 8, "identical": 8},
    "stops": {"eos": 160, "length": 4},
    "truncated": 4,
    "generated_tokens": 9000,
    "tokens_per_s": 300.5,
    "errors": 0,
    "allowed_error_share": 0.0,
    "problems": 164,
    "passed": 2,
    "format_faults": {"begin with a code fence": 3, "are empty": 1},
    "endings": {"passed": 2, "SyntaxError": 3, "AssertionError, nothing is returned": 1},
    "timeouts_retried": 0,
    "isolation": "seccomp",
    "timeout_s": 10.0,
    "problems_sha256": SHA,
    "pass_at_1": 2 / 164,
    "outcomes": {"passed": 2, "failed": 162},
    "wall_s": 100.0,
    "slowest_program_s": 1.5,
}


def sample(task: str, completion: str) -> dict[str, Any]:
    """A row of samples.jsonl."""
    return {"task_id": task, "completion": completion, "new_tokens": 3, "stop": "stop", "sample": 0}


def result(task: str, outcome: str, detail: str = "") -> dict[str, Any]:
    """A row of results.jsonl."""
    return {"task_id": task, "passed": outcome == "passed", "outcome": outcome, "detail": detail}


def evaluation(step: int, heldout_ce: float) -> dict[str, Any]:
    """A row of evals.jsonl."""
    return {"step": step, "heldout_ce": heldout_ce, "heldout_kl": None, "probe_cosine": None, "windows": 1}
