"""`refute consume` with a real model, a real verdict on it and real engines, as people type it."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from consuming import Consuming
from distill_world import save_llama, tiny_tokenizer  # noqa: F401 - a fixture
from light_install import closure
from refute.attest import generate_key, hash_model, key_id, write_sigstore_bundle
from refute.engines.export.gguf.file import export_gguf, read_source
from refute.spec.publication import ExportLabel
from refute.verify.consumer.make import ConsumeRequest, prepare
from tiny_run import MODEL_RELEASE, JudgedOnce

if TYPE_CHECKING:
    from tests.conftest import Cli

pytestmark = pytest.mark.slow

MODEL = "tiny.F16.gguf"


@pytest.fixture(scope="module")
def released(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_tokenizer: PreTrainedTokenizerFast,  # noqa: F811 - the fixture
) -> JudgedOnce:
    """A GO about a model that writes letters: a folder for transformers with the same weights for llama.cpp in it."""
    root = tmp_path_factory.mktemp("released")
    folder = save_llama(root / "mine", tiny_tokenizer, seed=6, layers=1)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    texts = [str(tiny_tokenizer.decode([number])) for number in range(300)]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "norm" in name else 0.0, 0.3)
        odd = [number for number, text in enumerate(texts) if not (text.isascii() and text.isprintable() and number)]
        model.lm_head.weight[odd] = 0
    model.save_pretrained(folder)
    export_gguf(read_source(folder), folder / MODEL, ExportLabel.F16, lambda *_: None)
    return JudgedOnce.make(root, "operator", release=MODEL_RELEASE, also=("student",))


@pytest.fixture
def world(released: JudgedOnce, tmp_path: Path) -> Consuming:
    """A copy of it, and a consumer's key."""
    found = Consuming(tmp_path, released.copy(tmp_path), "operator")
    found.public("consumer")
    return found


def call(world: Consuming, place: object = "mine", **changes: object) -> list[object]:
    """What a consumer types; an option that is None is left out."""
    keys = world.root / "keys"
    given: dict[str, object] = {
        "verdict": world.judged.path,
        "verdict-key": keys / "operator.pub",
        "key": keys / "consumer.key",
        "note": "for our autocompletion",
        "threads": 1,
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    options = [word for name, value in given.items() if value is not None for word in (f"--{name}", value)]
    return ["consume", world.root / str(place), *options]


def statement_of(world: Consuming) -> Path:
    """The one statement beside the verdict."""
    (found,) = world.judged.path.parent.glob("consumer-*.sigstore.json")
    return found


def test_three_engines_are_used_and_the_policy_is_met(world: Consuming, cli: Cli) -> None:
    """12 CPU s, for three engines are started: refused before, signed, accepted after; nothing is overwritten."""
    (world.root / "policy.yaml").write_text(
        "require_lock: false\nrequire_remeasured: false\nroles:\n"
        "  operator: {keys: [{name: gate, path: keys/operator.pub}]}\n"
        "  consumer: {keys: [{name: Cleo, path: keys/consumer.pub}]}\n",
        encoding="utf-8",
    )
    verify = ("verify", world.judged.path, "--policy", world.root / "policy.yaml")
    refused = cli(*verify)
    assert (refused.returncode, "used by 0 keys of the role consumer, 1 required" in refused.stderr) == (4, True)
    before = hash_model(world.root / "mine").root_digest
    done = cli(*call(world, policy=world.root / "policy.yaml", verdict_key=None), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert (said["result"], said["not_run"]) == ("used", {})
    assert [(each["engine"], each["file"]) for each in said["paths"]] == [
        ("refute", "."),
        ("transformers", "."),
        ("llama.cpp", MODEL),
    ]
    assert len({each["text"] for each in said["paths"]}) == 1
    assert all(each["versions"] and not each["reached"] for each in said["paths"])
    assert hash_model(world.root / "mine").root_digest == before
    accepted = cli(*verify)
    assert "used as consumer by Cleo" in accepted.stdout, accepted.stderr
    again = cli(*call(world))
    assert (again.returncode, "never overwritten" in again.stderr) == (2, True)
    withdrawn = cli(*call(world), "--withdraw")
    assert withdrawn.returncode == 0, withdrawn.stderr
    assert (cli(*verify).returncode, "it was withdrawn" in cli(*verify).stderr) == (4, True)


def test_the_model_of_a_run_is_found_beside_its_verdict(world: Consuming, tmp_path: Path) -> None:
    """A run keeps it in `subject/`, whatever the verdict calls it."""
    run = tmp_path / "run"
    shutil.copytree(world.root / "mine", run / "subject")
    shutil.copy(world.judged.path, run)
    keys = world.root / "keys"
    asked = ConsumeRequest(
        place=str(run / world.judged.path.name),
        verdict=None,
        key=str(keys / "consumer.key"),
        public_key=None,
        passphrase_file=None,
        verdict_keys=(keys / "operator.pub",),
        policy=None,
        note="",
        valid_days=1,
        out=None,
        withdraw=False,
    )
    assert prepare(asked).model == run / "subject"


def light_packages(folder: Path) -> Path:
    """Links to what `pip install 'refute[xllamacpp]'` brings, and to nothing else that is installed here."""
    folder.mkdir()
    for found in [*closure(distribution("refute")).values(), distribution("refute"), distribution("xllamacpp")]:
        for name in {file.parts[0] for file in found.files or () if ".." not in file.parts}:
            link, there = folder / name, Path(str(found.locate_file(name)))
            if there.exists() and not link.exists():
                link.symlink_to(there)
    return folder


# Whatever asks for torch and the like is noted in the command's process; its strangers have these paths alone, too.
LIGHT = """
import json, sys
sys.path[:] = json.loads(sys.argv[1]) + [each for each in sys.path if "site-packages" not in each]
class Noting:
    def find_spec(self, name, path=None, target=None):
        if name in HEAVY and "importlib.util" not in sys._getframe(2).f_code.co_filename:
            asked.append(name)
HEAVY, asked = ("torch", "transformers", "numpy", "gguf", "safetensors", "huggingface_hub"), []
sys.meta_path.insert(0, Noting())
from refute.cli.run import run
status = run(json.loads(sys.argv[2]))
print(json.dumps({"status": status, "loaded": sorted({*HEAVY} & {*sys.modules}), "asked": asked}), file=sys.stderr)
"""


def test_llama_cpp_alone_is_enough(world: Consuming, tmp_path: Path) -> None:
    """Interpreters that have no torch to find: the GGUF file is used, the rest is named, the published folder stays."""
    published = world.root / "mine"
    bundle = write_sigstore_bundle(world.judged.path.read_bytes(), key_id(world.public("operator")))
    (published / "verdict.sigstore.json").write_bytes(bundle)
    before = hash_model(published).root_digest
    root = Path(__file__).parents[3]
    paths = [str(root / "harness"), str(root / "falsifiers"), str(light_packages(tmp_path / "light"))]
    words = [str(word) for word in (*call(world, verdict=None), "--json")]
    command = [sys.executable, "-I", "-S", "-c", LIGHT, json.dumps(paths), json.dumps(words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ended = json.loads(done.stderr.strip().splitlines()[-1])
    assert ended == {"status": 0, "loaded": [], "asked": []}, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert [each["engine"] for each in said["paths"]] == ["llama.cpp"]
    assert {engine: why.partition(":")[0] for engine, why in said["not_run"].items()} == {
        "refute": "not installed",
        "transformers": "not installed",
    }
    assert Path(said["statement"]).parent == published
    assert hash_model(published).root_digest == before


def test_a_file_that_no_engine_loads_is_said_and_ends_in_1(tmp_path: Path, cli: Cli) -> None:
    """Judged GO by answers alone: the consumer finds what the gate was not asked, and signs it."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / MODEL).write_bytes(b"GGUF" + bytes(64))
    world = Consuming(
        tmp_path, JudgedOnce.make(tmp_path, "operator", release=MODEL_RELEASE, also=("student",)).judged, "operator"
    )
    world.public("consumer")
    done = cli(*call(world, f"mine/{MODEL}"))
    assert (done.returncode, "failed: verdict" in done.stdout) == (1, True), done.stdout + done.stderr
    assert "llama.cpp cannot load" in statement_text(world)


def statement_text(world: Consuming) -> str:
    """What the one statement beside the verdict says, decoded."""
    envelope = json.loads(statement_of(world).read_text(encoding="utf-8"))["dsseEnvelope"]
    return base64.b64decode(envelope["payload"]).decode()


def test_before_an_engine_starts_everything_else_is_refused(world: Consuming, cli: Cli) -> None:
    """Each with its status and its sentence: whose key, which model, which verdict, and where it would lie."""
    generate_key(world.root / "keys", "stranger")
    keys = world.root / "keys"
    (world.root / "policy.yaml").write_text(
        "roles: {operator: {keys: [{name: gate, path: keys/operator.pub}]},"
        " consumer: {keys: [{name: Cleo, path: keys/stranger.pub}]}}\n",
        encoding="utf-8",
    )
    (world.root / "empty").mkdir()
    table: list[tuple[list[object], int, str]] = [
        (call(world, key=keys / "operator.key"), 2, "trust for verdicts"),
        (call(world, verdict_key=keys / "stranger.pub"), 4, "signed by none of the 1 trusted key"),
        (call(world, verdict_key=None), 2, "no key that you trust"),
        (call(world, policy=world.root / "policy.yaml"), 2, "does not list this key"),
        (call(world, verdict=None), 2, "holds 0 verdicts"),
        (call(world, "nowhere"), 2, "there is nothing"),
        (call(world, "empty"), 4, "holds no files"),
        (call(world, "answers.jsonl"), 5, "is not"),
        (call(world, out=world.root / "mine/said.json"), 2, "become a file of the model"),
        (call(world, note="x" * 10_001), 2, "cannot be signed: the whole"),
        (call(world, note="\udcff"), 2, "cannot be signed: the whole"),
        (call(world, out=world.root / "absent/said.sigstore.json"), 2, "there is no folder"),
        ([*call(world, note=None), "--withdraw"], 2, "needs a reason"),
        (["consume", "hub:org/name@main", *call(world)[2:]], 2, "names no commit"),
    ]
    for words, status, message in table:
        ended = cli(*words)
        assert (ended.returncode, message in ended.stderr) == (status, True), (words, ended.stderr)
    assert not list(world.judged.path.parent.glob("consumer-*"))
    beside = world.root / "mine/../said.json"  # not in the folder that it is named by
    ended = cli(*call(world, out=beside), "--withdraw")
    assert (ended.returncode, beside.is_file()) == (0, True), ended.stderr


def test_another_model_a_withdrawn_verdict_and_a_no_go_are_not_used(world: Consuming, cli: Cli, tmp_path: Path) -> None:
    """A byte that changed, a file more; a verdict that its operator took back; one that nobody's use makes good."""
    weights = world.root / "mine" / MODEL
    sound = weights.read_bytes()
    weights.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    changed = cli(*call(world))
    assert (changed.returncode, f"{MODEL} changed" in changed.stderr) == (5, True)
    weights.write_bytes(sound)
    off = ("--role", "operator", "--note", "leaked", "--verdict-key", world.root / "keys/operator.pub")
    key = world.root / "keys/operator.key"
    assert cli("sign-off", world.judged.path, "--decision", "withdraw", *off, "--key", key).returncode == 0
    withdrawn = cli(*call(world))
    assert (withdrawn.returncode, "the verdict was withdrawn" in withdrawn.stderr) == (5, True)
    other = tmp_path / "other"
    (other / "mine").mkdir(parents=True)
    (other / "mine" / MODEL).write_bytes(sound)
    judged = JudgedOnce.make(other, "operator", release=MODEL_RELEASE, also=("student",), right=10).judged
    bad = Consuming(other, judged, "operator")
    bad.public("consumer")
    refused = cli(*call(bad, f"mine/{MODEL}"))
    assert (refused.returncode, "the verdict is NO-GO" in refused.stderr) == (2, True), refused.stderr
