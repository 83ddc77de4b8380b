"""Every input of every command, with something else in its place: one sentence that names it, and status 2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from every_command import COMMANDS, SPECS, Place, Words
from refute.engines.distill.threads import one_thread

if TYPE_CHECKING:
    from tests.conftest import Cli

pytestmark = pytest.mark.exhaustive

Input = tuple[Words, str]
# Results go there, or lie there: tests/cli/test_full_disk.py.
OUTPUTS = {"out", "to", "directory", "refute_dir", "folder", "writable"}
# Inputs that are typed as text, for they may also be a URL, an id or the name of a model at a server.
TEXTS: set[Input] = {
    *{((name,), "run") for name in ("judge", "controls", "try")},
    *{((name,), "store") for name in ("judge", "verify", "rerun")},
    *{((name,), "key") for name in ("judge", "sign-off", "countersign", "rerun")},
    (("lock", "make"), "key"),
    *{(("store", name), "store") for name in ("list", "prune", "export")},
    (("store", "export"), "what"),
    (("eval", "humaneval"), "model"),
    (("verify",), "model"),
    (("export",), "signing_key"),
    (("model", "pull"), "source"),
}
# Goes with a key in an HSM, which is not here.
NOT_ALONE: set[Input] = {
    *{((name,), "public_key") for name in ("judge", "sign-off", "countersign", "rerun", "export", "consume")},
    (("lock", "make"), "public_key"),
    (("publish", "stage"), "public_key"),
    (("init",), "baseline"),  # goes with results of a tool, which are not here either
}
# What an input means only beside another option.
BESIDE: dict[Input, tuple[str, ...]] = {
    (("lock", "verify"), "specs"): ("--release", "specs/releases/example.yaml"),
    (("report",), "baseline"): ("--format", "sarif"),
    (("verify",), "sign_off"): ("--policy", "policy.yaml"),
    (("verify",), "trusted_root"): ("--identity", "somebody", "--issuer", "https://issuer.example"),
    (("export",), "passphrase_file"): ("--signing-key", "keys/gate.key"),
    (("publish", "stage"), "passphrase_file"): ("--model-key", "keys/gate.key"),
    (("export",), "signing_key"): ("--format", "vsa"),
    **{(("export",), name): ("--keyless",) for name in ("identity_token", "trust_config")},
    (("controls",), "sabotages"): ("--mutate", "--only", "answers-complete"),
    **{
        (("gate",), name): ("--release", "specs/releases/example.yaml")
        for name in ("signing_key", "lock_key", "waivers", "policy", "specs")
    },
}


def inputs() -> Iterator[Input]:
    """Every argument and option that names a file or folder to read."""
    for name, command in COMMANDS.items():
        for parameter in command.params:
            asked = (name, str(parameter.name))
            is_path = "Path" in str(parameter.type_descriptor.annotation) and parameter.name not in OUTPUTS
            if (is_path or asked in TEXTS) and asked not in NOT_ALONE:
                yield asked


def rubbish(path: Path) -> None:
    """Bytes that are nothing."""
    path.write_bytes(b"\x00\xff{]\n" * 9)


def other_yaml(path: Path) -> None:
    """YAML, but of no kind that is read."""
    path.write_text("- 1\n- 2\n", encoding="utf-8")


# What is put in the place of an input. Root may read everything: a link to itself nobody can.
BAD: dict[str, Callable[[Path], object]] = {
    "absent": lambda path: None,
    "rubbish": rubbish,
    "empty": lambda path: path.write_bytes(b""),
    "folder": lambda path: path.mkdir(),
    "unreadable": lambda path: path.symlink_to(path),
    "other YAML": other_yaml,
}
FILES = ("rubbish", "empty", "other YAML")
# What should be signed, and is none: not to be trusted, as anything that was tampered with.
SIGNED: set[Input] = {
    *{((name,), "verdict") for name in ("verify", "sign-off", "countersign", "rerun", "report", "export", "consume")},
    *{(("lock", name), "lock") for name in ("show", "verify")},
    *{(("diff",), "old"), (("diff",), "new"), (("report",), "baseline"), (("verify",), "sign_off")},
}
# Bad only in the eyes of those who judge what they read: the status that says so. Others may do with it.
ELSE: dict[Input, dict[str, int]] = {
    (("check",), "paths"): dict.fromkeys((*FILES, "folder"), 1),  # what is wrong with them is its answer
    (("check",), "docs"): dict.fromkeys(FILES, 0),  # texts, in which it looks for ids
    (("check",), "contract_folders"): {"folder": 0},
    (("check",), "falsifiers"): {"folder": 1},
    (("model", "lint"), "model"): {"folder": 1},  # so it is here
    (("judge",), "falsifiers"): {"folder": 1},  # an empty folder, so that nothing is measured again
    (("judge",), "store"): {"folder": 7},  # a store that lacks what the run cites
    (("try",), "spec"): {"folder": 0},
    (("verify",), "model"): {**dict.fromkeys((*FILES, "folder"), 5), "unreadable": 4},  # not the model that was judged
    (("latest",), "verdicts"): {"folder": 4},  # none of them is to be trusted
    (("latest",), "model"): dict.fromkeys((*FILES, "folder", "unreadable"), 4),  # nor one that anybody judged
    **{((name,), "store"): {"folder": 4} for name in ("verify", "rerun")},
}


def words_with(asked: Input, call: list[object], path: Path) -> list[object]:
    """`call`, with `path` in the place of that input."""
    name, wanted = asked
    arguments = [each for each in COMMANDS[name].params if each.param_type_name == "argument"]
    parameter: Any = next(each for each in COMMANDS[name].params if each.name == wanted)
    # An option that may stand twice would be given twice.
    call = [] if name == ("gate",) and "--release" in (*BESIDE.get(asked, ()), parameter.opts[0]) else call
    if name == ("dogfood",) and parameter not in arguments:
        call = [SPECS / "releases" / "dogfood.yaml"]  # its key is read before anything runs
    if parameter not in arguments:
        return [*call, *BESIDE.get(asked, ()), parameter.opts[0], path]
    place = arguments.index(parameter)
    given = place < len(call) and not str(call[place]).startswith("-")
    return [*call[:place], path, *call[place + given :], *BESIDE.get(asked, ())]


@pytest.mark.parametrize("asked", list(inputs()), ids=lambda asked: " ".join((*asked[0], asked[1])))
def test_a_bad_input_is_named(
    cli: Cli, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Input
) -> None:
    """With what to do next, and nobody sees a traceback; the few that end otherwise, or well, say so above."""
    monkeypatch.chdir(place.root)
    (tmp_path / "out").mkdir()
    for kind, make in BAD.items():
        path = tmp_path / kind.replace(" ", "-")
        make(path)
        with one_thread():
            ended = cli(*asked[0], *words_with(asked, place.calls(tmp_path / "out")[asked[0]], path))
        expected = 4 if asked in SIGNED and kind in FILES else ELSE.get(asked, {}).get(kind, 2)
        assert ended.returncode == expected, (kind, ended)
        assert "Traceback" not in ended.stderr + ended.stdout, (kind, ended)
        assert "nobody meant" not in ended.stderr, (kind, ended)
        # An empty folder of falsifiers is one: what is missed, and named, is a falsifier.
        if expected == 2 and (kind, asked[1]) != ("folder", "falsifiers"):
            assert path.name in ended.stderr, (kind, ended.stderr)
            assert "\nhint: " in ended.stderr, (kind, ended.stderr)
