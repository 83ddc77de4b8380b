"""Files of other tools are read as they are, or refused by the name of what they are."""

from __future__ import annotations

import json
import random
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from json_lines import read_rows, write_rows
from refute.engines.humaneval.readers.result_file import read_results
from refute.engines.humaneval.readers.sample_file import read_samples
from refute.engines.humaneval.readers.task_names import TaskNames
from refute.errors import MissingInputsError, UnreadableInputError
from toy_answers import ALL as TOY
from toy_answers import CASES, passes

if TYPE_CHECKING:
    from tests.conftest import Cli

PROGRAMS = [problem.prompt + problem.canonical_solution for problem in TOY]
RIGHT = [
    "10_evalplus_solution.jsonl",
    "12_bigcode_generations.json",
    "13_lmeval_samples_humaneval.jsonl",
    "15_array.json",
    "18_whole_program_future.jsonl",
    "22_ids_as_numbers.jsonl",
    "30_bom.jsonl",
]


def lm_eval(place: int, texts: list[str], *, share: float, **more: object) -> dict[str, object]:
    """A row of lm-evaluation-harness's samples."""
    document = {"task_id": TOY[place].task_id}
    return {"doc_id": place, "doc": document, "resps": [texts], "filtered_resps": texts, "pass@1": share, **more}


def inspect(place: int, value: object, answer: str | None, said: str = "") -> dict[str, object]:
    """A sample of an Inspect log."""
    score = {"value": value, **({} if answer is None else {"answer": answer})}
    message = {"role": "assistant", "content": said}
    return {"id": TOY[place].task_id, "epoch": 1, "output": {"choices": [{"message": message}]}, "scores": {"v": score}}


@pytest.mark.parametrize("name", RIGHT)
def test_recorded_files_are_read(name: str) -> None:
    """Three right answers each, under the problem file's own ids, and no line is lost."""
    found = read_samples(CASES / "score" / name, TOY)
    assert [sample.task_id for sample in found.samples] == ["Toy/0", "Toy/1", "Toy/2"]
    assert (found.faults, all(map(passes, found.samples))) == ((), True)


@pytest.mark.slow
def test_a_foreign_file_goes_the_whole_way(cli: Cli, tmp_path: Path) -> None:
    """bigcode's generations, executed: each program alone, and exit 0."""
    arguments = ("--problems", CASES / "toy_problems.jsonl", "--out", tmp_path / "r.jsonl")
    samples = CASES / "score" / "12_bigcode_generations.json"
    ended = cli("eval", "score", samples, *arguments, "--minimum-isolation", "rlimits")
    assert (ended.returncode, "passed    3 of 3 samples" in ended.stdout) == (0, True), ended.stderr
    assert [row["passed"] for row in read_rows(tmp_path / "r.jsonl")] == [True] * 3


def test_a_folder_of_programs_is_evalplus(tmp_path: Path) -> None:
    """TASK/NUMBER.py, with underscores in the task's name; numbers in the order of numbers."""
    for problem, program in zip(TOY, PROGRAMS, strict=True):
        folder = tmp_path / problem.task_id.replace("/", "_")
        folder.mkdir()
        for number in range(12):
            (folder / f"{number}.py").write_text(f"{program}# {number}\n", encoding="utf-8")
    found = read_samples(tmp_path, TOY)
    assert [(each.task_id, each.index, each.whole) for each in found.samples[11:13]] == [
        ("Toy/0", 11, True),
        ("Toy/1", 0, True),
    ]
    assert found.samples[11].completion.endswith("# 11\n")
    before = found.sha256
    (tmp_path / "Toy_0" / "0.py").write_text("pass\n", encoding="utf-8")
    assert read_samples(tmp_path, TOY).sha256 != before
    with pytest.raises(MissingInputsError, match="a folder without programs"):
        read_samples(tmp_path / "Toy_0", TOY)


def test_results_of_evalplus_hold_samples_and_verdicts(tmp_path: Path) -> None:
    """Its base tests are HumanEval's; an older file has outcomes alone, which are results and no samples."""
    new, old = tmp_path / "eval_results.json", tmp_path / "old.json"
    rows = {
        problem.task_id: [
            {"task_id": problem.task_id, "solution": program, "base_status": status, "plus_status": "fail"}
        ]
        for problem, program, status in zip(TOY, PROGRAMS, ("pass", "fail", "pass"), strict=True)
    }
    new.write_text(json.dumps({"date": "d", "eval": rows}, indent=2), encoding="utf-8")
    outcomes = {problem.task_id: {"base": [["success", []], ["failed", []]], "plus": []} for problem in TOY}
    old.write_text(json.dumps({"eval": outcomes}), encoding="utf-8")
    assert [each.completion for each in read_samples(new, TOY).samples] == PROGRAMS
    assert [count.passed for count in read_results(new).counts.values()] == [1, 0, 1]
    assert {(count.n, count.passed) for count in read_results(old).counts.values()} == {(2, 1)}
    with pytest.raises(MissingInputsError, match="holds no sample"):
        read_samples(old, TOY)


def test_samples_of_lm_eval_are_those_of_its_last_filter(tmp_path: Path) -> None:
    """Several a problem, and a share of passes among them; without a filter's text the answer follows the prompt."""
    path = tmp_path / "samples_humaneval.jsonl"
    rows = [lm_eval(place, [PROGRAMS[place]] * 4, share=0.75, filter="create_test") for place in range(3)]
    drafts = [lm_eval(place, ["draft"] * 4, share=0.0, filter="none") for place in range(3)]
    write_rows(path, [*drafts, *rows])
    assert [(each.task_id, each.completion, each.whole) for each in read_samples(path, TOY).samples] == [
        (TOY[place].task_id, PROGRAMS[place], True) for place in range(3) for _ in range(4)
    ]
    assert {(count.n, count.passed) for count in read_results(path).counts.values()} == {(4, 3)}
    bare = lm_eval(1, [TOY[1].canonical_solution], share=1.0) | {"doc": {}, "filtered_resps": []}
    write_rows(path, [bare])
    (only,) = read_samples(path, TOY).samples
    assert (only.task_id, only.whole, passes(only)) == ("Toy/1", False, True)


@pytest.mark.parametrize("packed", [False, True])
def test_logs_of_inspect_are_read(tmp_path: Path, packed: bool) -> None:
    """As JSON or as its zip: the code that it scored, or else the chat's answer; C and I are verdicts."""
    said = f"Sure:\n```python\n{PROGRAMS[2]}```"
    samples = [
        inspect(0, "C", TOY[0].canonical_solution),
        inspect(1, "I", "    return None\n"),
        inspect(2, "C", None, said),
    ]
    path = tmp_path / "log.eval"
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", json.dumps({"eval": {}}))
            for number, sample in enumerate(samples):
                archive.writestr(f"samples/{number}_epoch_1.json", json.dumps(sample, indent=2))
    else:
        path.write_text(json.dumps({"version": 2, "eval": {"task": "humaneval"}, "samples": samples}), encoding="utf-8")
    assert [passes(each) for each in read_samples(path, TOY).samples] == [True, False, True]
    assert [count.passed for count in read_results(path).counts.values()] == [1, 0, 1]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"PAR1rest", "a Parquet file that is cut or damaged"),
        (b"\x28\xb5\x2f\xfdrest", "zstd that is cut or damaged"),
        (b"PK\x03\x04rest", "a zip that cannot be unpacked"),
        (b'{"results": {"humaneval": {"pass@1": 0.1}}, "config": {}}', "lm-eval's table of scores"),
        (b'{"humaneval": {"pass@1": 0.1}, "config": {}}', "bigcode's table of scores"),
        (b'{"question": "?", "reply": "!"}', "no sample of a known tool: none of the keys 'completion'"),
        (b'[["pass"], ["pass"], ["pass"], ["pass"]]', "unknown task '3'"),
    ],
)
def test_what_holds_no_samples_is_named(tmp_path: Path, content: bytes, name: str) -> None:
    """Neither an empty score nor a guess."""
    path = tmp_path / "f"
    path.write_bytes(content)
    if "unknown" in name:
        assert name in read_samples(path, TOY).faults[0].reason
        return
    with pytest.raises(MissingInputsError, match=name):
        read_samples(path, TOY)
    with pytest.raises(UnreadableInputError, match=name):
        read_results(path)


def test_an_id_is_found_in_every_way_of_writing_it() -> None:
    """Exactly if it can be; one that may mean two problems means none."""
    names = TaskNames(["HumanEval/7", "HumanEval/17", "other/x"])
    for given in ("HumanEval/7", "HumanEval_7", "humaneval-7", "7", 7):
        assert names.find(given) == "HumanEval/7", given
    for unknown in (8, "HumanEval/8", "", None, True, 7.0, ["HumanEval/7"]):
        assert names.find(unknown) is None, unknown
    assert TaskNames(["a/7", "b/7"]).find(7) is None
    assert TaskNames(["a/7", "A_7"]).find("a/7") == "a/7"


def test_results_of_two_tools_are_compared(cli: Cli, tmp_path: Path) -> None:
    """Under the ids of the first, whatever the second calls them."""
    write_rows(tmp_path / "a.jsonl", [{"task_id": f"Toy/{n}", "completion": "", "passed": n == 0} for n in range(3)])
    rows = {f"Toy_{n}": [{"solution": "", "base_status": "pass"}] for n in range(3)}
    (tmp_path / "b.json").write_text(json.dumps({"eval": rows}), encoding="utf-8")
    ended = cli("eval", "compare", tmp_path / "a.jsonl", tmp_path / "b.json", "--json")
    found = json.loads(ended.stdout)
    assert (ended.returncode, found["problems"], found["won"]) == (0, 3, ["Toy/1", "Toy/2"])


@pytest.mark.parametrize(
    ("row", "verdicts"),
    [
        ({"solution": "x", "status": "pass"}, [True]),
        ({"solution": "x", "status": "fail"}, [False]),
        ({"generation": "x", "is_correct": True}, [True]),
        ({"completion": "x", "passed": "False"}, [False]),
        ({"output_list": ["x", "y"], "graded_list": [True, False]}, [True, False]),
        ({"doc": {"task_id": "Toy/0"}, "resps": [["x"]], "filtered_resps": ["x"], "pass_at_1": 1.0}, [True]),
        ({"solution": "x", "status": "done"}, None),
        ({"response": "x", "success": True}, None),
        ({"output_list": ["x", "y"], "is_correct": True}, None),
    ],
)
def test_a_verdict_has_many_names(row: dict[str, Any], verdicts: list[bool] | None, tmp_path: Path) -> None:
    """And what only says that a server answered, or speaks of several samples at once, is none."""
    path = tmp_path / "r.jsonl"
    write_rows(path, [{"task_id": "Toy/0", **row}])
    if verdicts is None:
        with pytest.raises(UnreadableInputError, match="true or false under passed"):
            read_results(path)
    else:
        (count,) = read_results(path).counts.values()
        assert (count.n, count.passed) == (len(verdicts), sum(verdicts))


def _openai(place: int) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": f"```python\n{PROGRAMS[place]}```"}}]}


TOY_0 = TOY[0].task_id
SAID = f"Sure:\n```python\n{PROGRAMS[0]}```\nDone."
THOUGHT = {"type": "reasoning", "text": "```python\ndef add_all(numbers):\n    return 0\n```", "summary": []}
CANONICAL = TOY[0].canonical_solution


@pytest.mark.parametrize(
    "document",
    [
        {"task_id": TOY_0, "completions": [CANONICAL]},
        {"task_id": TOY_0, "completion": [CANONICAL]},
        {"name": "Toy_0_add_all", "language": "py", "completions": [CANONICAL]},
        {"task_id": TOY_0, "response": PROGRAMS[0]},
        {"task_id": TOY_0, "responses": [CANONICAL]},
        {"task_id": TOY_0, "output": [f"```python\n{PROGRAMS[0]}```"]},
        {"id": TOY_0, "generation": PROGRAMS[0]},
        {"task_id": 0.0, "code": PROGRAMS[0]},
        {"task_id": "Toy/000", "prediction": PROGRAMS[0]},
        {"task_id": TOY_0, **_openai(0)},
        {"id": "batch_1", "custom_id": TOY_0, "response": {"status_code": 200, "body": _openai(0)}, "error": None},
        {"task_id": TOY_0, "messages": [{"role": "user", "content": "?"}, _openai(0)["choices"][0]["message"]]},
        {TOY_0: CANONICAL},
        {TOY_0: [PROGRAMS[0]]},
        {"0": {"origin_prompt": "?", "prediction": PROGRAMS[0]}},
        {"custom_id": TOY_0, "result": {"type": "succeeded", "message": {"content": [{"type": "text", "text": SAID}]}}},
        {
            "custom_id": TOY_0,
            "response": {"body": {"output": [THOUGHT, {"type": "message", "content": [{"text": SAID}]}]}},
        },
        {"key": TOY_0, "response": {"candidates": [{"content": {"parts": [{"text": SAID}], "role": "model"}}]}},
        {"task_id": TOY_0, "message": {"role": "assistant", "content": SAID}, "done": True},
        {"task_id": TOY_0, "prompt": "?", "outputs": [{"index": 0, "text": SAID, "finish_reason": "stop"}]},
        {"question_id": TOY_0, "output_list": [SAID], "code_list": [PROGRAMS[0]]},
        {"task_id": "Python/0", "generation": CANONICAL},
        {"task_id": TOY_0, "messages": [{"role": "assistant", "content": [THOUGHT, {"type": "text", "text": SAID}]}]},
        {"task_id": [TOY_0], "completion": [CANONICAL]},
        {"model": "m", "samples": [{"task_id": TOY_0, "completion": CANONICAL}]},
        {"id": "row-9", "vars": {"task_id": TOY_0}, "response": {"output": SAID}, "success": True},
        {"results": {"version": 3, "results": [{"vars": {"task_id": TOY_0}, "response": {"output": SAID}}]}},
        {"request_states": [{"instance": {"id": "id0"}, "result": {"completions": [{"text": CANONICAL}]}}]},
        {"doc": {"id": TOY_0}, "model_response": {"text": [SAID]}, "metric": {}},
        {"index": 7, "sample_metadata": {"task_id": TOY_0}, "choices": [{"message": {"content": SAID}}]},
        {"id": TOY_0, "conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": SAID}]},
        {"task_id": TOY_0, "generated_text": [{"generated_text": CANONICAL}]},
        {TOY_0: [{"solution": PROGRAMS[0]}]},
        [PROGRAMS[0]],
        [json.dumps({"task_id": TOY_0, "completion": CANONICAL})],
        {"features": [{"name": "x"}], "rows": [{"row_idx": 0, "row": {"task_id": TOY_0, "completion": CANONICAL}}]},
        {"columns": ["task_id", "completion"], "index": [0], "data": [[TOY_0, CANONICAL]]},
        {"task_id": {"0": TOY_0}, "completion": {"0": CANONICAL}},
        {"tags": ["a"], "results": [{"task_id": TOY_0, "completion": CANONICAL}]},
        *({key: TOY_0, "completion": CANONICAL} for key in ("problem_id", "taskId", "instance_id")),
        *({"task_id": given, "completion": CANONICAL} for given in ("openai_Toy/0", "Toy0", "test/Toy/0", " toy-00 ")),
        *({"task_id": TOY_0, key: SAID} for key in ("generated_text", "model_output", "answer", "content")),
        *({"task_id": TOY_0, key: SAID} for key in ("actual_output", "predicted_text", "predictions")),
    ],
)
def test_what_programs_of_ones_own_write_is_read(document: dict[str, Any], tmp_path: Path) -> None:
    """Rows of servers, of other harnesses, and a table by task: one right sample each."""
    (tmp_path / "s.json").write_text(json.dumps(document), encoding="utf-8")
    (sample,) = read_samples(tmp_path / "s.json", TOY).samples
    assert passes(sample)


KEYS = [
    "task_id",
    "completion",
    "solution",
    "base_status",
    "generations",
    "resps",
    "output",
    "response",
    "result",
    "choices",
    "message",
    "content",
    "eval",
    "samples",
    "results",
    "config",
    "doc",
    "scores",
    "passed",
    "id",
    "model_response",
    "conversations",
    "graded_list",
    "status",
    "metadata",
    "row",
    "row_idx",
    "columns",
    "data",
    "error",
]


def anything(drawn: random.Random, depth: int = 0) -> Any:
    """A document of the keys that tools have, with whatever under them."""
    kind = drawn.randrange(6) if depth < 4 else 5
    if kind < 3:
        return {drawn.choice(KEYS): anything(drawn, depth + 1) for _ in range(drawn.randrange(4))}
    if kind == 3:
        return [anything(drawn, depth + 1) for _ in range(drawn.randrange(3))]
    return drawn.choice([None, True, 0, 1.5, "", TOY_0, "pass", "def add_all(n):\n    return 1", '{"a": [1]}'])


@pytest.mark.parametrize("seed", range(8))
def test_whatever_a_file_holds_is_read_or_refused_by_name(seed: int, tmp_path: Path) -> None:
    """By samples and by results: nobody meets the error of a reader."""
    drawn, path = random.Random(seed), tmp_path / "s.json"  # noqa: S311 - a seed of documents, and no secret
    for _ in range(150):
        path.write_text(json.dumps(anything(drawn)), encoding="utf-8")
        with suppress(MissingInputsError):
            read_samples(path, TOY)
        with suppress(UnreadableInputError):
            read_results(path)
