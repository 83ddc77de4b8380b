"""Results of other tools: each form is read item by item, and what is missing, doubled or broken is refused by name."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from json_lines import write_rows
from refute.engines.results.experiment import READERS, read_results, table_of
from refute.engines.results.table import Table
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.evidence_files import SCORED_ITEMS, SCORED_RUNS
from refute.spec.experiments.results import ResultPlace
from refute.spec.results import ResultFile

LM_EVAL = "samples_gsm8k_2026-01-01T00-00-00.000000.jsonl"


def table(form: Any, path: Path, run: Path | None = None, **choice: str) -> Table:
    """What a file says."""
    file = ResultFile(format=form, path=path.name, run=None if run is None else run.name, **choice)
    place = {"benchmark": "b", "side": "student", "file": file, "path": str(path), "run": run and str(run)}
    return table_of(ResultPlace.model_validate(place))


def scores(found: Table) -> dict[tuple[str, int], float | None]:
    """By item and sample."""
    return {(row.item, row.sample): row.score for row in found.items}


def lm_eval_rows(n: int = 4, filters: tuple[str, ...] = ("strict-match", "flexible-extract")) -> list[dict[str, Any]]:
    """As lm-eval 0.4.9 writes them with --log_samples: a row a document and filter."""
    return [
        {
            "doc_id": doc,
            "doc": {"question": "How many?" * 20, "subject": "algebra", "level": 3},
            "target": "4",
            "arguments": {"gen_args_0": {"arg_0": f"Q{doc}", "arg_1": {"until": ["\n"]}}},
            "resps": [["4"]],
            "filtered_resps": ["4"],
            "filter": name,
            "metrics": ["exact_match"],
            "doc_hash": f"{doc:064x}",
            "prompt_hash": f"{doc + 100:064x}",
            "target_hash": f"{doc:064x}",
            "exact_match": float((doc + place) % 2),
        }
        for place, name in enumerate(filters)
        for doc in range(n)
    ]


def lm_eval(folder: Path, rows: list[dict[str, Any]], effective: int = 4) -> tuple[Path, Path]:
    """Samples and the results beside them."""
    samples, results = folder / LM_EVAL, folder / LM_EVAL.replace("samples_gsm8k", "results").replace(".jsonl", ".json")
    write_rows(samples, rows)
    about = {
        "results": {"gsm8k": {"exact_match,strict-match": 0.5}},
        "n-shot": {"gsm8k": 5},
        "versions": {"gsm8k": 3.0},
        "n-samples": {"gsm8k": {"original": 1319, "effective": effective}},
        "config": {"model": "hf", "model_args": "pretrained=me/student"},
        "lm_eval_version": "0.4.9",
        "model_name": "me/student",
    }
    results.write_text(json.dumps(about), encoding="utf-8")
    return samples, results


def test_lm_eval_with_the_results_beside_it(tmp_path: Path) -> None:
    """Scores by the filter that is named; model, version and number of examples from the results."""
    found = table("lm-eval", *lm_eval(tmp_path, lm_eval_rows()), filter="flexible-extract")
    assert scores(found) == {("0", 0): 1.0, ("1", 0): 0.0, ("2", 0): 1.0, ("3", 0): 0.0}
    assert (found.metric, found.version, found.model) == ("exact_match,flexible-extract", "0.4.9", "me/student")
    assert (found.declared_items, found.settings) == (4, {"n-shot": "5", "versions": "3.0"})
    assert found.items[0].fields == {"subject": "algebra", "level": "3"}
    assert len({row.prompt_sha256 for row in found.items}) == 4


def test_lm_eval_without_a_choice_is_refused(tmp_path: Path) -> None:
    """Two filters are two scores, and none is taken by chance."""
    with pytest.raises(ExperimentError, match="filter several, there are flexible-extract, strict-match"):
        table("lm-eval", *lm_eval(tmp_path, lm_eval_rows()))


@pytest.mark.parametrize("change", ["deleted", "doubled", "no metric", "nan"])
def test_lm_eval_that_was_tampered_with(tmp_path: Path, change: str) -> None:
    """Failing rows that were deleted are missed, rows that come twice are named, and NaN is no zero."""
    rows = lm_eval_rows(filters=("none",))
    if change == "deleted":
        rows = [row for row in rows if row["exact_match"] == 1.0]
        message = "holds 2 items, and its run says that there were 4"
    elif change == "doubled":
        rows += rows[:1]
        message = "1 answers stand there twice, the first is sample 0 of item '0'"
    elif change == "no metric":
        rows = [{key: value for key, value in row.items() if key != "exact_match"} for row in rows]
        message = "the row has no metric 'exact_match'"
    else:
        rows[0]["exact_match"] = math.nan
        found = table("lm-eval", *lm_eval(tmp_path, rows))
        assert found.items[0].score is None
        assert "nan" in (found.items[0].error or "")
        return
    with pytest.raises(ExperimentError, match=message):
        table("lm-eval", *lm_eval(tmp_path, rows))


def inspect_log(status: str = "success", error: bool = False) -> dict[str, Any]:
    """As inspect_ai 0.3 writes it: two samples, two epochs."""
    samples = [
        {
            "id": name,
            "epoch": epoch,
            "input": f"ask {name}",
            "target": "x",
            "scores": {"match": {"value": "C" if epoch == 1 else "I", "answer": "x"}},
            "metadata": {"category": "math"},
            "error": {"message": "timed out", "traceback": ""} if error and (name, epoch) == ("a", 1) else None,
        }
        for name in ("a", "b")
        for epoch in (1, 2)
    ]
    about = {
        "task": "arc",
        "task_version": 0,
        "model": "hf/me",
        "dataset": {"samples": 2, "sample_ids": ["a", "b"]},
        "config": {"epochs": 2},
        "packages": {"inspect_ai": "0.3.100"},
    }
    return {"version": 2, "status": status, "eval": about, "samples": samples}


@pytest.mark.parametrize("packed", [False, True])
def test_inspect_as_json_and_as_an_archive(tmp_path: Path, packed: bool) -> None:
    """Letters are scores, epochs are samples, and both forms say the same."""
    log, path = inspect_log(), tmp_path / ("log.eval" if packed else "log.json")
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", json.dumps({k: v for k, v in log.items() if k != "samples"}))
            for sample in log["samples"]:
                archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
    else:
        path.write_text(json.dumps(log), encoding="utf-8")
    found = table("inspect", path)
    assert scores(found) == {("a", 0): 1.0, ("a", 1): 0.0, ("b", 0): 1.0, ("b", 1): 0.0}
    assert (found.model, found.version, found.declared_items) == ("hf/me", "0.3.100", 2)
    assert found.items[0].fields == {"category": "math"}


def test_inspect_that_did_not_end(tmp_path: Path) -> None:
    """A log of a run that was cancelled holds some of its samples."""
    (tmp_path / "log.json").write_text(json.dumps(inspect_log("cancelled")), encoding="utf-8")
    with pytest.raises(ExperimentError, match="the run ended as 'cancelled'"):
        table("inspect", tmp_path / "log.json")


def test_inspect_errors_are_no_scores(tmp_path: Path) -> None:
    """A sample that failed has no score, whatever stands beside it."""
    (tmp_path / "log.json").write_text(json.dumps(inspect_log(error=True)), encoding="utf-8")
    found = table("inspect", tmp_path / "log.json")
    assert (found.items[0].score, found.items[0].error) == (None, "timed out")


def test_inspect_with_an_epoch_left_out(tmp_path: Path) -> None:
    """One item was answered less often."""
    log = inspect_log()
    log["samples"].pop()
    (tmp_path / "log.json").write_text(json.dumps(log), encoding="utf-8")
    with pytest.raises(ExperimentError, match="1 items have fewer answers than others, the first is 'b'"):
        table("inspect", tmp_path / "log.json")


def test_evalplus_by_both_of_its_metrics(tmp_path: Path) -> None:
    """Plus needs the base tests, too."""
    answers = [("pass", "pass"), ("pass", "fail"), ("fail", "pass")]
    row = [{"task_id": "HumanEval/0", "solution": "", "base_status": a, "plus_status": b} for a, b in answers]
    path = tmp_path / "samples_eval_results.json"
    path.write_text(json.dumps({"date": "2026", "hash": "ab", "eval": {"HumanEval/0": row}}), encoding="utf-8")
    assert [row.score for row in table("evalplus", path).items] == [1.0, 0.0, 0.0]
    assert [row.score for row in table("evalplus", path, metric="base").items] == [1.0, 1.0, 0.0]


def test_evalplus_that_ran_no_extra_tests(tmp_path: Path) -> None:
    """None is no failure."""
    row = [{"base_status": "pass", "plus_status": None}]
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"hash": "ab", "eval": {"HumanEval/0": row}}), encoding="utf-8")
    with pytest.raises(ExperimentError, match="expected texts"):
        table("evalplus", path)


def test_human_eval_and_refutes_own(tmp_path: Path) -> None:
    """A task that comes again is another sample; refute's errors are no failures."""
    rows = [
        {"task_id": "HumanEval/0", "completion": "", "result": "passed", "passed": True},
        {"task_id": "HumanEval/0", "completion": "", "result": "failed", "passed": False},
    ]
    write_rows(tmp_path / "r.jsonl", rows)
    assert scores(table("human-eval", tmp_path / "r.jsonl")) == {("HumanEval/0", 0): 1.0, ("HumanEval/0", 1): 0.0}
    write_rows(tmp_path / "r.jsonl", [{"task_id": "a", "passed": False, "outcome": "error", "detail": "no sandbox"}])
    assert table("human-eval", tmp_path / "r.jsonl").items[0].error == "no sandbox"
    write_rows(tmp_path / "r.jsonl", [{"task_id": "a", "passed": True, "outcome": "failed"}])
    with pytest.raises(ExperimentError, match="passed is True, and the outcome is 'failed'"):
        table("human-eval", tmp_path / "r.jsonl")


@pytest.mark.parametrize("old", [False, True])
def test_lighteval_of_two_generations(tmp_path: Path, old: bool) -> None:
    """The older one has `metrics` and `example`, the newer one `metric` and `doc`."""
    metric = {"em": 1.0, "f1": 0.5}
    row = (
        {"example": "q", "full_prompt": "ask", "metrics": metric}
        if old
        else {"doc": {"id": "7", "query": "ask"}, "metric": metric, "model_response": {"text": ["a"]}}
    )
    path = tmp_path / "details_gsm8k_2026.parquet"
    parquet.write_table(pa.Table.from_pylist([row]), path)
    found = table("lighteval", path, metric="f1")
    assert scores(found) == {("0" if old else "7", 0): 0.5}
    assert found.items[0].prompt_sha256 is not None


def test_helm_with_its_run_spec(tmp_path: Path) -> None:
    """Trials are samples; the number of examples is a setting."""
    rows = [
        {
            "instance_id": name,
            "train_trial_index": trial,
            "stats": [{"name": {"name": "exact_match", "split": "test"}, "count": 1, "sum": 1.0, "mean": 1.0}],
        }
        for name in ("id1", "id2")
        for trial in (0, 1)
    ]
    stats, spec = tmp_path / "per_instance_stats.json", tmp_path / "run_spec.json"
    stats.write_text(json.dumps(rows), encoding="utf-8")
    spec.write_text(json.dumps({"adapter_spec": {"model": "me/m", "max_train_instances": 5}}), encoding="utf-8")
    found = table("helm", stats, spec)
    assert (len(found.items), found.model, found.settings) == (4, "me/m", {"max_train_instances": "5"})
    stats.write_text(json.dumps([rows[0] | {"perturbation": {"name": "typos"}}]), encoding="utf-8")
    with pytest.raises(ExperimentError, match="is of a perturbed instance"):
        table("helm", stats, spec)


def test_items_of_ones_own(tmp_path: Path) -> None:
    """Whatever a script measures, such as seconds."""
    write_rows(
        tmp_path / "i.jsonl", [{"item": 1, "score": 2.5, "fields": {"document": "a"}}, {"item": 2, "error": "x"}]
    )
    found = table("items", tmp_path / "i.jsonl")
    assert scores(found) == {("1", 0): 2.5, ("2", 0): None}
    assert found.items[0].fields == {"document": "a"}


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize("content", ["", "[]", "{}", "no json", '{"a": 1}\n', "[1, 2]"])
def test_what_no_tool_wrote_is_refused(tmp_path: Path, form: str, content: str) -> None:
    """Whatever it is: by a sentence, and never as an empty benchmark."""
    path = tmp_path / "file"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ExperimentError):
        table(form, path)


def test_the_experiment_writes_both_sides(tmp_path: Path, make_job: Callable[..., Job]) -> None:
    """Rows of all benchmarks in one file, and what is said of each run in another."""
    write_rows(tmp_path / "r.jsonl", [{"task_id": "a", "passed": True}])
    file = {"format": "human-eval", "path": "r.jsonl"}
    places = [
        {"benchmark": "b", "side": side, "file": file, "path": str(tmp_path / "r.jsonl"), "run": None}
        for side in ("student", "baseline")
    ]
    job = make_job("results", {"places": places})
    read_results(job)
    assert [row.side for row in SCORED_ITEMS.read(job.out, "results")] == ["student", "baseline"]
    assert {row.metric for row in SCORED_RUNS.read(job.out, "results")} == {"passed"}
