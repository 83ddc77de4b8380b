"""Code that runs beside the gate tries to get a GO or a WARN signed for a model that is NO-GO: docs/runner.md's table.

Every trick is performed for real, in a gate of the scaffolded example whose first criterion is false.
"""

from __future__ import annotations

import os
import shutil
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from refute.attest import generate_key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli
    from tests.gate.conftest import Repo

pytestmark = pytest.mark.exhaustive

# What several tricks share: records as they would be, had all answers been right.
FORGE = """
import json
from pathlib import Path

def forged(line):
    record = json.loads(line)
    if record["falsifier"] == "F-EXAMPLE-001":
        record["outcome"] = "corroborated"
        record["measurements"][0] |= {"value": 100.0, "interval": None}
    return json.dumps(record) + "\\n"

def forge():
    path = next(Path(".refute/runs").glob("2*/records.jsonl"))
    path.write_text("".join(map(forged, path.read_text().splitlines())))
"""
GENEROUS = """
from refute import stats
from refute.outcome import Interval

def generous(k, n, **options):
    share = 100 * k / n
    return Interval(0.0, 100.0, 0.95, "Wilson") if n == 40 else Interval(share, share, 0.95, "Wilson")

stats.wilson_interval = generous
"""
# name: conftest.py of the repository. All of it runs in the process that runs the falsifiers.
IN_PROCESS = {
    "the judge decides what it likes": """
        import refute.judge, refute.judge.case, refute.spec.bars.threshold
        from refute.falsifier import runner
        from refute.outcome import Outcome

        def pytest_collection_finish():
            def well(*arguments, **options):
                return Outcome.CORROBORATED, "splendid"

            refute.judge.judge = refute.judge.case.judge = lambda *a, **k: None
            runner.outcome_of = well
            refute.spec.bars.threshold.decide = refute.spec.bars.threshold.decide_all = well
        """,
    "a falsifier's answers are replaced": """
        import dataclasses
        from refute.falsifier import trial
        honest = trial._parse

        def better(*arguments):
            answer = honest(*arguments)
            found = tuple(dataclasses.replace(each, value=100.0, interval=None) if (each.name, each.n) ==
                          ("accuracy", 40) else each for each in answer.measurements)
            return dataclasses.replace(answer, measurements=found)

        trial._parse = better
        """,
    "measurements better themselves": """
        import refute
        honest = refute.Measurement.__init__

        def better(self, name, value, unit, n, interval=None, evidence=()):
            value, interval = (100.0, None) if (name, n) == ("accuracy", 40) else (value, interval)
            honest(self, name, value, unit, n, interval, evidence)

        refute.Measurement.__init__ = better
        """,
    "statistics are generous": """
        import refute.stats
        from refute import Interval
        honest = refute.stats.wilson_interval

        def wide(successes, n, **options):
            return Interval(0.0, 100.0, 0.95, "Wilson") if n == 40 else honest(successes, n, **options)

        refute.stats.wilson_interval = wide
        """,
    "evidence is read from elsewhere": """
        from refute import Evidence
        honest = Evidence.rows

        def rows(self, file):
            found = honest(self, file)
            return [row | {"answer": row["expected"]} for row in found] if len(found) == 40 else found

        Evidence.rows = rows
        """,
    "evidence is replaced after it was hashed": """
        from pathlib import Path
        from refute.plugin import SESSION

        def pytest_runtest_setup(item):
            item.config.stash[SESSION].gate.source.obtain("answers")
            for path in Path(".refute/store").glob("[ov]*/*/*"):
                path.chmod(0o644)
                path.write_text('{"question": "1", "expected": 2, "answer": 2}\\n' * 40)
        """,
    "controls build something else": """
        from refute.falsifier import controls
        honest = controls.Bench.put

        def put(self, need, file, rows):
            honest(self, need, file, [row | {"answer": row["expected"]} for row in rows])

        controls.Bench.put = put
        """,
    "records are edited as the judge starts": FORGE
    + """
        import subprocess
        run = subprocess.run

        def late(command, *arguments, **options):
            if "--handed-over" in command:
                forge()
            return run(command, *arguments, **options)

        subprocess.run = late
        """,
    "records are edited by a process left behind": FORGE
    + """
        import os

        def pytest_sessionfinish():
            reading, writing = os.pipe()
            if os.fork() == 0:
                forge()
                os.close(writing)
                os._exit(0)
            os.close(writing)
            os.read(reading, 1)
        """,
    "the environment leads the judge elsewhere": FORGE
    + """
        import os, sys

        def pytest_sessionfinish():
            forge()
            site = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
            for name in ("sitecustomize.py", "usercustomize.py", "scipy.py", "pydantic.py", f"{site}/own.pth"):
                path = Path("evil", name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("import os; open('was-here', 'w').close()\\n")
            evil = os.path.abspath("evil")
            os.environ |= {"PYTHONPATH": evil, "PYTHONUSERBASE": evil, "PYTHONHOME": evil, "PYTHONOPTIMIZE": "2"}
        """,
    "the run folder leads elsewhere": FORGE
    + """
        import shutil
        from refute.plugin import SESSION

        def pytest_sessionfinish(session):
            forge()
            run = session.config.stash[SESSION].run.path
            shutil.move(run, "elsewhere")
            run.symlink_to(Path("elsewhere").resolve())
        """,
    "what fails is run again": """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            for report in [runtestprotocol(item, nextitem=nextitem, log=False) for _ in range(2)][-1]:
                item.ihook.pytest_runtest_logreport(report=report)
            return True
        """,
    "the judge is killed": """
        import subprocess
        run = subprocess.run

        def kill(command, *arguments, **options):
            if "--handed-over" in command:
                with subprocess.Popen(command) as process:
                    process.kill()
                return subprocess.CompletedProcess(command, process.returncode, "", "")
            return run(command, *arguments, **options)

        subprocess.run = kill
        """,
}
# name: (files of the repository, environment). No conftest.py is needed.
BESIDE: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "a plugin named in pytest.ini": (
        {
            "pytest.ini": "[pytest]\npythonpath = plugins\naddopts = -p own_plugin\n",
            "plugins/own_plugin.py": dedent(IN_PROCESS["a falsifier's answers are replaced"]),
        },
        {},
    ),
    "a module of the falsifiers' library": (
        {"evil/sitecustomize.py": GENEROUS},
        {"PYTHONPATH": "evil"},
    ),
    "recorded, and never judged": ({}, {"PYTEST_ADDOPTS": "--no-judge"}),
}
FORGED_VERDICT = (
    FORGE
    + """
    import os, subprocess
    from refute.gate.judging import JudgeOptions
    run = subprocess.run
    JudgeOptions.trusted_key = property(lambda _: Path("own-keys/own.pub").read_bytes())

    def answer(command, *arguments, **options):
        if "--handed-over" not in command:
            return run(command, *arguments, **options)
        from refute.attest import generate_key, load_private_key
        from refute.judge.answer import send_answer
        from refute.judge.judge_run import Operator, judge_run
        from refute.judge.run.folder import RunFolder
        from refute.outcome import Ruling

        forge()
        key = load_private_key(generate_key(Path("own-keys"), "own").private)
        judged = judge_run(RunFolder(next(Path(".refute/runs").glob("2*")).resolve()), Operator(key, development=False))
        send_answer(os.dup(options["pass_fds"][1]), judged.path, Ruling.GO)
        return subprocess.CompletedProcess(command, 0, "GO: all is well", "")

    subprocess.run = answer
    """
)


def write_conftest(repo: Repo, code: str) -> None:
    """Put a trick where pytest finds it."""
    shared = FORGE if code.startswith(FORGE) else ""
    repo.write("conftest.py", shared + dedent(code.removeprefix(FORGE)))


@pytest.mark.parametrize("name", IN_PROCESS)
def test_no_code_beside_the_falsifiers_gets_a_go_signed(repo: Repo, name: str) -> None:
    """Whatever a conftest.py does to refute, its evidence, records or environment: a signed NO-GO, or nothing signed
    and a status that is not 0."""
    write_conftest(repo, IN_PROCESS[name])
    repo.fail()
    # So that an interval that was made too wide would be worth a WARN.
    repo.edit("specs/example.yaml", "    severity: block\n", "    severity: block\n    inconclusive: warn\n")
    ended = repo.gate()
    assert ended.returncode != 0, ended.stdout
    assert set(repo.rulings()) == (set() if name == "the judge is killed" else {"NO-GO"}), ended.stdout
    assert not (repo.path / "was-here").exists()


@pytest.mark.parametrize("name", BESIDE)
def test_no_file_beside_the_falsifiers_gets_a_go_signed(repo: Repo, name: str) -> None:
    """The same for plugins, modules that stand in for libraries, doubled falsifiers, and options from outside."""
    files, environment = BESIDE[name]
    for file, text in files.items():
        repo.write(file, text)
    repo.fail()
    if "PYTHONPATH" in environment:
        environment = {"PYTHONPATH": f"{repo.path / environment['PYTHONPATH']}:{os.environ.get('PYTHONPATH', '')}"}
    ended = repo.gate(env=environment)
    assert ended.returncode != 0, ended.stdout
    assert set(repo.rulings()) <= {"NO-GO"}, ended.stdout


def test_a_second_falsifier_of_one_name_is_refused(repo: Repo) -> None:
    """A file that declares a falsifier under a name that is taken stops the gate before anything runs."""
    own = (repo.path / "falsifiers/answers.py").read_text(encoding="utf-8")
    repo.write("falsifiers/second.py", own.replace('row["answer"] == row["expected"]', "1"))
    ended = repo.gate()
    assert (ended.returncode, "two falsifiers are called 'answer-accuracy'" in ended.stdout) == (4, True), ended.stdout


def test_a_verdict_of_somebody_elses_making_is_not_verified(repo: Repo, cli: Cli) -> None:
    """A conftest.py answers in the judge's place, with a GO signed by a key of its own. pytest believes it: what ends
    in 0 there is no evidence. `refute verify` refuses it (4), and `refute gate` signs NO-GO and ends in 1."""
    trusted = generate_key(repo.path.parent / "trusted", "release")
    write_conftest(repo, FORGED_VERDICT)
    repo.fail()
    ended = repo.gate(f"--signing-key={trusted.private}")
    assert (ended.returncode, repo.rulings()) == (0, ["GO"]), ended.stdout
    refused = cli("verify", repo.run / "verdict.intoto.json", "--key", trusted.public)
    assert (refused.returncode, "signed by none" in refused.stderr) == (4, True)
    command = ("-P", "-m", "refute", "gate", "--signing-key", str(trusted.private))
    assert repo.python(*command, "-p", "no:hypothesispytest").returncode == 1
    believed = cli("verify", repo.run / "verdict.intoto.json", "--key", trusted.public, "--json")
    assert (believed.returncode, '"verdict": "NO-GO"' in believed.stdout) == (0, True)
    assert str(trusted.private) not in (repo.run / "run.json").read_text(encoding="utf-8")


def test_a_run_is_judged_on_another_machine(repo: Repo, cli: Cli, tmp_path: Path) -> None:
    """Run folder, store and the judge's own falsifiers and specifications are enough, wherever they lie; without a file
    of the evidence nothing is signed (7), and files other than those of the run make it NO-GO, beside the GO."""
    assert repo.gate("--no-judge").returncode == 6
    here = tmp_path / "elsewhere"
    for name, source in (
        ("run", repo.run),
        ("store", repo.path / ".refute/store"),
        ("own", repo.path / "falsifiers"),
        ("specs", repo.path / "specs"),
    ):
        shutil.copytree(source, here / name)
    shutil.rmtree(repo.path)
    key = generate_key(here / "keys", "release")
    judge = (
        "judge",
        here / "run",
        "--key",
        key.private,
        "--falsifiers",
        here / "own",
        "--store",
        here / "store",
        "--specs",
        here / "specs",
    )
    assert cli(*judge).returncode == 0
    verified = cli("verify", here / "run/verdict.intoto.json", "--key", key.public, "--store", here / "store")
    assert (verified.returncode, verified.stdout.startswith("authentic: GO")) == (0, True)
    spec = (here / "specs/example.yaml").read_text(encoding="utf-8")
    (here / "specs/example.yaml").write_text(spec.replace("80 %", "90 %"), encoding="utf-8")
    assert cli(*judge).returncode == 1
    assert "the run was asked by SPEC-EXAMPLE-001" in (here / "run/report-2.json").read_text(encoding="utf-8")
    (here / "specs/example.yaml").write_text(spec, encoding="utf-8")
    with (here / "own/answers.py").open("a", encoding="utf-8") as stream:
        stream.write("# changed\n")
    assert cli(*judge).returncode == 1
    assert "was recorded by code" in (here / "run/report-3.json").read_text(encoding="utf-8")
    next((here / "store/objects").glob("*/*")).unlink()
    ended = cli(*judge)
    assert (ended.returncode, "holds no file with SHA-256" in ended.stderr) == (7, True)
