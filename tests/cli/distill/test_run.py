"""`refute distill` as its users meet it: configurations, folders, signals, JSON."""

from __future__ import annotations

import fcntl
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from refute.cli.distill.run import read_config
from refute.errors import SpecError
from training_runs import same, summary, weights

if TYPE_CHECKING:
    from tests.conftest import Cli

pytestmark = pytest.mark.exhaustive

WriteConfig = Callable[..., Path]
# Long enough to be stopped in the middle, short enough to be finished.
LONG = {"steps": 150, "checkpoint_every": 10, "eval_every": 75, "warmup_steps": 5}


def _steps(out: Path) -> int:
    path = out / "work" / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_stopped_runs_keep_a_checkpoint_and_continue_bitwise(
    write_config: WriteConfig, cli: Cli, tmp_path: Path
) -> None:
    """SIGINT ends in 130, SIGTERM in 143, both with a checkpoint of the last step and a way to go on; SIGKILL asks
    nobody. Called again, each ends with the weights of the run that was left alone."""
    config = write_config(**LONG)
    stops = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
    started = {
        number: subprocess.Popen(
            [sys.executable, "-m", "refute", "distill", str(config), "--out", str(tmp_path / number.name)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in stops
    }
    deadline = time.monotonic() + 120
    waiting = set(started)
    while waiting:
        assert time.monotonic() < deadline
        for number in sorted(waiting):
            assert started[number].poll() is None, started[number].communicate()[1]
            if _steps(tmp_path / number.name) >= 13:
                started[number].send_signal(number)
                waiting.remove(number)
        time.sleep(0.01)
    ended = {number: process.communicate(timeout=60) for number, process in started.items()}
    for number, (printed, error) in ended.items():
        assert started[number].returncode == stops[number], error
        assert printed == ""
        out = tmp_path / number.name
        checkpoints = sorted(path.name for path in (out / "work" / "checkpoints").glob("step-*"))
        assert 1 <= len(checkpoints) <= 2, "the last, and the one before it"
        assert not (out / "summary.json").exists()
        if number != signal.SIGKILL:
            assert checkpoints == [f"step-{(_steps(out) - 1) // 10 * 10:08d}", f"step-{_steps(out):08d}"]
            assert f"stopped after step {_steps(out)} of 150" in error
            assert "hint: run again to continue" in error
            assert "Traceback" not in error
    assert cli("distill", config, "--out", tmp_path / "straight").returncode == 0
    for number in stops:
        assert cli("distill", config, "--out", tmp_path / number.name).returncode == 0
        assert same(weights(tmp_path / "straight"), weights(tmp_path / number.name))


def test_run_is_what_happens_without_a_word(write_config: WriteConfig, cli: Cli, tmp_path: Path) -> None:
    """`refute distill CONFIG` and `refute distill run CONFIG` are one; both print the figures of summary.json."""
    config = write_config(steps=3)
    short = cli("distill", config, "--out", tmp_path / "short")
    long = cli("distill", "run", config, "--out", tmp_path / "long")
    assert (short.returncode, long.returncode) == (0, 0)
    assert same(weights(tmp_path / "short"), weights(tmp_path / "long"))
    facts = summary(tmp_path / "short")
    assert f"{facts['initial_heldout_ce']:.4f} -> {facts['final_heldout_ce']:.4f}" in short.stdout
    assert str(tmp_path / "short" / "model") in short.stdout


def test_json_is_the_summary(write_config: WriteConfig, cli: Cli, tmp_path: Path) -> None:
    """Nothing but JSON on the standard output, and it is the file's."""
    ended = cli("distill", write_config(steps=2), "--out", tmp_path / "out", "--json")
    assert json.loads(ended.stdout) == summary(tmp_path / "out")


def test_a_finished_folder_is_refused(write_config: WriteConfig, cli: Cli, tmp_path: Path) -> None:
    """Its files stay as they were, smoke run or not."""
    config = write_config(steps=2)
    cli("distill", config, "--out", tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    for more in ((), ("--max-steps", "1")):
        ended = cli("distill", config, "--out", tmp_path / "out", *more)
        assert ended.returncode == 2
        assert "holds a finished run" in ended.stderr
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


@pytest.mark.parametrize(("work", "more"), [("work", ()), ("work-smoke", ("--max-steps", "1"))])
def test_two_at_once_are_refused_and_the_first_is_unharmed(
    write_config: WriteConfig, cli: Cli, tmp_path: Path, work: str, more: tuple[str, ...]
) -> None:
    """While one process holds the folder, a second one ends with a message and touches nothing of the first's."""
    folder = tmp_path / "out" / work
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("{}\n", encoding="utf-8")
    with (folder / "lock").open("w", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        ended = cli("distill", write_config(steps=2), "--out", tmp_path / "out", *more)
        assert ended.returncode == 2
        assert "another process is at work in" in ended.stderr
        assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "lock", "metrics.jsonl"]
    assert cli("distill", write_config("fresh", steps=2), "--out", tmp_path / "new").returncode == 0


def test_a_smoke_run_starts_anew_and_opens_the_way(write_config: WriteConfig, cli: Cli, tmp_path: Path) -> None:
    """Twice in one folder: exactly so many steps each time, a projection and no model; the run then goes through."""
    config = write_config(steps=5)
    for steps in (3, 2):
        ended = cli("distill", config, "--out", tmp_path / "out", "--max-steps", steps)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.startswith(f"smoke run: {steps} steps in ")
        assert not (tmp_path / "out" / "model").exists()
    assert json.loads((tmp_path / "out" / "smoke.json").read_text(encoding="utf-8"))["steps"] == 2
    assert cli("distill", config, "--out", tmp_path / "out").returncode == 0
    assert summary(tmp_path / "out")["steps"] == 5


def test_a_long_run_wants_a_smoke_run_first(write_config: WriteConfig, cli: Cli, tmp_path: Path) -> None:
    """The refusal names both ways on."""
    ended = cli("distill", write_config(steps=5_000), "--out", tmp_path / "out")
    assert ended.returncode == 2
    assert "5000 steps need a smoke run of the same configuration first" in ended.stderr
    assert "--max-steps 20" in ended.stderr
    assert "--force" in ended.stderr


def test_faults_of_a_configuration_have_line_and_key(write_config: WriteConfig, cli: Cli) -> None:
    """Every fault of the file at once: a misspelt key, a wrong type, a missing one."""
    path = write_config()
    text = (
        path.read_text(encoding="utf-8")
        .replace("temperature: 2.0", "temprature: 2.0")
        .replace("threads: 1", "threads: x")
    )
    path.write_text(text, encoding="utf-8")
    ended = cli("distill", path, "--out", path.parent / "out")
    assert ended.returncode == 2
    lines = text.splitlines()
    misspelt, wrong = (next(n for n, line in enumerate(lines, 1) if word in line) for word in ("temprature", "threads"))
    assert f"{path}:{misspelt}: training.temprature: unknown key `temprature`" in ended.stderr
    assert f"{path}:{wrong}: threads: " in ended.stderr
    assert "training.temperature: this required key is missing" in ended.stderr
    assert not (path.parent / "out").exists()


def test_a_configuration_that_is_not_there_is_told(cli: Cli, tmp_path: Path) -> None:
    """Status 2 and the name, no traceback."""
    ended = cli("distill", tmp_path / "none.yaml", "--out", tmp_path / "out")
    assert ended.returncode == 2
    assert "none.yaml" in ended.stderr


def test_relative_paths_start_at_the_file(
    tmp_path: Path, write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the command is called from, and `~` is the home folder."""
    path = write_config("here", lines="teacher_cache:\n  topk: sub/cache\n")
    text = path.read_text(encoding="utf-8").splitlines()
    changed = {"init:": "init: ../models/init", "corpus:": "corpus: ~/shards"}
    lines = [next((new for old, new in changed.items() if line.startswith(old)), line) for line in text]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir("/")
    config = read_config(path)
    assert config.init == str(tmp_path.parent / "models" / "init")
    assert config.corpus == str(tmp_path / "home" / "shards")
    assert config.teacher_cache is not None
    assert config.teacher_cache.topk == str(tmp_path / "sub" / "cache")


def test_two_kinds_of_weights_that_do_not_sum_to_one_are_a_fault(write_config: WriteConfig) -> None:
    """A fault between keys is told at their parent."""
    with pytest.raises(SpecError, match=r"training: ce_weight \+ kd_weight must be 1, found 0\.3 \+ 0\.6"):
        read_config(write_config(kd_weight=0.6))


@pytest.mark.parametrize("k", [20, 300])
def test_a_run_can_be_taught_from_a_prepared_cache(write_config: WriteConfig, cli: Cli, tmp_path: Path, k: int) -> None:
    """`prepare`, then a run that names the cache: with all entries it follows the online run, with some it learns; what
    began with it is not continued without it."""
    made = cli("distill", "prepare", write_config("online", steps=6), "--out", tmp_path / "cache", "-k", k, "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["k"] == k
    assert json.loads(made.stdout)["read_back_cosine"] > 0.999
    cached = write_config("cached", lines=f"teacher_cache:\n  topk: {tmp_path / 'cache'}\n", steps=6)
    assert cli("distill", tmp_path / "online.yaml", "--out", tmp_path / "online").returncode == 0
    ended = cli("distill", cached, "--out", tmp_path / "cached")
    assert ended.returncode == 0, ended.stderr
    online, offline = summary(tmp_path / "online"), summary(tmp_path / "cached")
    assert offline["final_heldout_kl"] < offline["initial_heldout_kl"]
    if k == 300:
        assert offline["final_heldout_kl"] == pytest.approx(online["final_heldout_kl"], rel=1e-2)
    (tmp_path / "cached" / "summary.json").unlink()
    ended = cli("distill", tmp_path / "online.yaml", "--out", tmp_path / "cached")
    assert ended.returncode == 2
    assert f"topk was {k}, is None" in ended.stderr
    elsewhere = tmp_path / "elsewhere.yaml"
    settings = yaml.safe_load(cached.read_text(encoding="utf-8"))
    elsewhere.write_text(yaml.safe_dump({**settings, "teacher": None}), encoding="utf-8")
    ended = cli("distill", elsewhere, "--out", tmp_path / "elsewhere")
    assert ended.returncode == 0, ended.stderr
    assert same(weights(tmp_path / "elsewhere"), weights(tmp_path / "cached"))
    assert summary(tmp_path / "elsewhere")["final_heldout_kl"] is None
    hot = write_config("hot", lines=f"teacher_cache:\n  topk: {tmp_path / 'cache'}\n", temperature=1.0)
    ended = cli("distill", hot, "--out", tmp_path / "hot")
    assert ended.returncode == 2
    assert "temperature is 2.0, the run has 1.0" in ended.stderr


def test_tokenize_tells_what_it_wrote(cli: Cli, teacher_folder: Path, tmp_path: Path) -> None:
    """The command writes shards, prints their sizes, as JSON the manifest, and a row without text ends in status 2."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"body": f"text {n}"}) + "\n" for n in range(50)), encoding="utf-8")
    given = ("distill", "tokenize", rows, "--tokenizer", teacher_folder, "--heldout-share", "0.3")
    refused = cli(*given, "--out", tmp_path / "none")
    assert refused.returncode == 2
    assert "rows.jsonl:1: no text under 'text', found body" in refused.stderr
    plain = cli(*given, "--field", "body", "--out", tmp_path / "plain")
    assert plain.returncode == 0, plain.stderr
    manifest = json.loads((tmp_path / "plain" / "manifest.json").read_text(encoding="utf-8"))
    tokens = manifest["shards"]["train"][0]["tokens"]
    assert f"train: {tokens} tokens in 1 shards" in plain.stdout
    as_json = cli(*given, "--field", "body", "--out", tmp_path / "json", "--json")
    assert json.loads(as_json.stdout)["shards"] == manifest["shards"]


def test_certify_prints_the_figures_of_the_loss(cli: Cli) -> None:
    """Every figure with its name, as JSON with device and type."""
    ended = cli("distill", "certify", "--json")
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert (figures["device"], figures["dtype"]) == ("cpu", "float32")
    assert len(figures) > 5


def test_a_second_signal_is_not_held_back(write_config: WriteConfig, tmp_path: Path) -> None:
    """Ctrl-C once waits for the step; asked for again while it waits, the process ends without it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(write_config(steps=50)), str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in a step\n"
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM


SLOW = """
import sys, time
from pathlib import Path
from refute.engines.distill.training.step import StepModule
from refute.cli.distill.run import run_distill
def forward(self, *arguments):
    print("in a step", flush=True)
    while True:
        time.sleep(0.05)
StepModule.forward = forward
run_distill(Path(sys.argv[1]), Path(sys.argv[2]), max_steps=None, force=False)
"""


def test_an_output_that_cannot_be_written_is_named(write_config: WriteConfig, cli: Cli, tmp_path: Path) -> None:
    """A file where a folder must be ends in 2 with one line that names it and a hint, not in a traceback."""
    taken = tmp_path / "taken"
    taken.write_text("", encoding="utf-8")
    ended = cli("distill", write_config(), "--out", taken)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"refute: cannot write {taken}" in ended.stderr
    assert "\nhint: make room or name another place" in ended.stderr


def test_processes_that_are_not_there_are_refused(write_config: WriteConfig, cli: Cli, tmp_path: Path) -> None:
    """A configuration that asks for two is not run by one in silence; the command that starts two is named."""
    ended = cli("distill", write_config(lines="processes: 2\n"), "--out", tmp_path / "out")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "asks for processes: 2, and 1 run it" in ended.stderr
    assert "torchrun --nproc-per-node 2" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_teacher_that_is_not_the_file_that_is_named_is_refused(
    distill_config: Callable[..., str], cli: Cli, tmp_path: Path
) -> None:
    """`sha256` of a GGUF's source is compared before anything of it is read; both digests are named."""
    (tmp_path / "teacher.gguf").write_bytes(b"GGUF\x03\x00")
    config = tmp_path / "config.yaml"
    text = distill_config()
    start, end = text.index("teacher:"), text.index("init:")
    model = f"{{format: gguf, source: {{path: teacher.gguf, sha256: {'ab' * 32}}}}}"
    config.write_text(f"{text[:start]}teacher:\n  model: {model}\n  path: teacher.gguf\n{text[end:]}", encoding="utf-8")
    ended = cli("distill", config, "--out", tmp_path / "out")
    assert (ended.returncode, ended.stdout) == (7, "")
    assert f"has SHA-256 {hashlib.sha256(b'GGUF' + bytes([3, 0])).hexdigest()}, its source says abab" in ended.stderr


def test_certify_refuses_what_it_does_not_know(cli: Cli) -> None:
    """Another device or type is a usage error that lists the ones there are."""
    for wrong in (("--device", "tpu"), ("--dtype", "float16")):
        ended = cli("distill", "certify", *wrong)
        assert (ended.returncode, wrong[1] in ended.stderr) == (2, True)


@pytest.mark.parametrize("command", [("run",), ("prepare", "-k", "2")])
@pytest.mark.parametrize("key", ["init", "corpus", "teacher"])
def test_what_a_configuration_names_and_is_not_there_is_named(
    write_config: WriteConfig, cli: Cli, tmp_path: Path, command: tuple[str, ...], key: str
) -> None:
    """The configuration is the caller's own file: status 2, and the path."""
    config = write_config()
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    (content["teacher"] if key == "teacher" else content)["path" if key == "teacher" else key] = str(
        tmp_path / "absent"
    )
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    ended = cli("distill", *command, config, "--out", tmp_path / "out")
    assert (ended.returncode, str(tmp_path / "absent") in ended.stderr) == (2, True), ended.stderr
    assert "Traceback" not in ended.stderr
