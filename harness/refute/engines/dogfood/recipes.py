"""For every command a call that works in the small place, and for options a value that must make a difference.

A command without a call, and an option whose value nobody knows, are found by the probes: this table cannot fall behind
the command tree without a criterion that fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from refute.engines.dogfood.called import Words

_OPERATOR: Final = ("--key", "keys/gate.pub")
_ANN: Final = ("--verdict-key", "keys/gate.pub", "--key", "keys/ann.key")
_PROMPT: Final = 'def abc(n):\n    """Double it."""\n'
_SCORING: Final = ("--problems", "problems.jsonl", "--minimum-isolation", "rlimits", "--workers", "1")
_ANSWERING: Final = ("--model", "model", "--max-new-tokens", "8", "--threads", "1", "--limit", "2")

# What follows the words of each command.
CALLS: Final[Mapping[str, Words]] = MappingProxyType(
    {
        "init": ("new",),
        "check": (),
        "power": ("share.yaml", "--n", "100"),
        "try": ("answer-accuracy",),
        "gate": ("--signing-key", "keys/gate.key"),
        "dogfood": ("itself.yaml", "--signing-key", "keys/gate.key"),
        "keygen": ("mine", "--directory", "made"),
        "judge": ("run", "--key", "keys/gate.key"),
        "verify": ("verdict.json", *_OPERATOR),
        "lock make": ("--key", "keys/gate.key", "--out", "lock.json"),
        "lock show": ("signed-lock.json",),
        "lock verify": ("signed-lock.json", *_OPERATOR),
        "consume": ("verdict.json", "--withdraw", "--note", "no", *_ANN, "--out", "../consumer.json"),
        "sign-off": (
            *("verdict.json", "--role", "owner", "--decision", "reject", "--note", "no", *_ANN),
            *("--out", "off.json"),
        ),
        "countersign": ("verdict.json", *_ANN),
        "rerun": (
            *("verdict.json", "--challenge", "--release", "specs/releases/example.yaml"),
            *("--store", ".refute/store", *_ANN),
        ),
        "report": ("verdict.json", *_OPERATOR),
        "diff": ("verdict.json", "verdict.json", *_OPERATOR),
        "export": ("verdict.json", *_OPERATOR, "--out", "."),
        "latest": (".refute/runs", *_OPERATOR, "--model", "evidence/answers.jsonl"),
        "controls": (),
        "review": ("F-EXAMPLE-001", "--by", "Ann"),
        "status": _OPERATOR,
        "distill run": ("distill.yaml", "--out", "made", "--max-steps", "1"),
        "distill plan": ("distill.yaml",),
        "distill init": (
            *("model", "--corpus", "shards", "--layers", "2", "--out", "made"),
            *("--seq-len", "16", "--windows", "2", "--threads", "1"),
        ),
        "distill tokenize": ("corpus", "--tokenizer", "model", "--heldout-share", "0.5", "--out", "made"),
        "distill prepare": ("distill.yaml", "--out", "made", "-k", "2"),
        "distill certify": (),
        "eval score": ("samples.jsonl", "--out", "made.jsonl", *_SCORING),
        "eval humaneval": (*_ANSWERING, *_SCORING, "--out", "made"),
        "eval compare": ("results.jsonl", "other-results.jsonl"),
        "model pull": ("model",),
        "model inspect": ("model",),
        "model lint": ("model",),
        "model run": ("model", _PROMPT, "--max-new-tokens", "8", "--threads", "1"),
        "model bench": ("model", "--n", "1", "--warm-up", "0", "--new-tokens", "2", "--threads", "1"),
        "model qa": ("model", "--threads", "1"),
        "model readiness": ("model", "--threads", "1"),
        "model stamp": ("model", "--author", "Ann"),
        "model export": ("model", "--to", "made.gguf", "--type", "F16"),
        "publish stage": ("run", "--out", "made"),
        "publish push": ("model", "--dry-run"),
        "store list": (),
        "store prune": (),
        "store export": ("run", "--to", "made.tar"),
        "store import": ("packed.tar", "--store", "made"),
    }
)

# What an option is tried with, where its kind does not say; by command and option, else by option.
VALUES: Final[Mapping[str, Words]] = MappingProxyType(
    {
        "--format": ("markdown",),
        "--at": ("2001-01-01T00:00:00Z",),
        "--sequence": ("7",),
        "--min-sequence": ("1000000",),
        "--min-spec-version": ("SPEC-EXAMPLE-001=1000",),
        "--max-age-days": ("1",),
        "report --format": ("json",),
        "diff --format": ("json",),
        "--require": ("GO",),
        "--out": ("elsewhere",),
        "--to": ("elsewhere",),
        "--directory": ("elsewhere",),
        "--temperature": ("3.0",),
        "--top-p": ("0.05",),
        "--seed": ("3",),
        "--tflops": ("3.0",),
        "--price": ("3.0",),
        "--max-new-tokens": ("3",),
        "--n": ("3",),
        "--at-least": ("1000000000",),
        "--license": ("mit",),
        "--name": ("Tiny",),
        "--author": ("Bob",),
        "--base-model": ("example/other",),
        "--datasets": ("example/others",),
        "--pattern": ("*.txt",),
        "--field": ("content",),
        "--heldout-share": ("0.25",),
        "--seq-len": ("8",),
        "--layers": ("1",),
        "--windows": ("1",),
        "--limit": ("1",),
        "--samples": ("2",),
        "--memory": ("256",),
        "--allowed-errors": ("0.5",),
        "--error-rate": ("0.2",),
        "--spending": ("obrien_fleming",),
        "--look-every": ("1",),
        "--role": ("reviewer",),
        "--note": ("yes",),
        "--bar": ("0.5",),
        "model run --max-new-tokens": ("3",),
        "model pull --init": ("model",),
        "model readiness --export": ("model.gguf",),
        "model qa --beside": ("model.gguf",),
        "model export --type": ("F32",),
        "model export --to": ("elsewhere.gguf",),
        "init --student": ("model",),
        "init --results": ("samples.jsonl",),
        "export --format": ("vsa",),
        "controls --sabotages": ("absent",),
    }
)

# What has to be said beside an option, in both calls, for it to matter.
BESIDE: Final[Mapping[str, Words]] = MappingProxyType(
    {
        "model run --seed": ("--temperature", "3.0"),
        "model run --top-p": ("--temperature", "3.0"),
        "eval humaneval --seed": ("--temperature", "3.0"),
        "eval humaneval --top-p": ("--temperature", "3.0"),
        "controls --refute-dir": ("--run", "latest"),
        "try --refute-dir": ("--run", "latest"),
        "distill plan --price": ("--tflops", "3.0"),
        **{
            f"{command} {option}": ("--bar", "0.5")
            for command in ("eval score", "eval humaneval")
            for option in ("--error-rate", "--spending", "--look-every")
        },
        "init --baseline": ("--results", "results.jsonl"),
        "gate --exit-zero": ("--release", "worse.yaml"),
        "model stamp --force": ("--license", "mit"),
    }
)

# Calls that nobody waits for the end of.
LONG: Final[Mapping[str, Words]] = MappingProxyType(
    {
        "gate": CALLS["gate"],
        "dogfood": CALLS["dogfood"],
        "distill run": ("long.yaml", "--out", "made", "--force"),
        "distill prepare": CALLS["distill prepare"],
        "eval humaneval": (*CALLS["eval humaneval"], "--samples", "2000", "--temperature", "1.0"),
        "model bench": ("model", "--n", "1000000", "--threads", "1"),
        "report": (".refute/runs", *_OPERATOR, "--serve"),
    }
)
# Commands that may write over what they made before, and why.
RENEWED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "distill run": "a smoke run of the same folder begins anew",
        "distill prepare": "a cache of other settings is begun anew",
        "export": "made of the verdict alone, and made again",
    }
)

# Options that change how long something takes, or what it may touch, and nothing that can be seen.
UNSEEN: Final = frozenset({"--threads", "--workers", "--concurrency", "--attempts", "--batch-size"})
# Options that only matter where there is something else than in the small place, and what that is.
UNTRIED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "gate --accept-warn": "a verdict that is WARN",
        "gate --network": "a test that uses the network",
        "gate --writable": "a test that writes elsewhere",
        "judge --accept-warn": "a verdict that is WARN",
        "latest --accept-warn": "a verdict that is WARN",
        "dogfood --accept-warn": "a verdict that is WARN",
        "judge --refute-dir": "a run that lies elsewhere",
        "sign-off --note": "a signature that is the same each time",
        "sign-off --sigstore": "a signature that is the same each time",
        "lock make --refute-dir": "runs that lie elsewhere",
        "consume --note": "a signature that is the same each time",
        "consume --valid-days": "a signature that is the same each time",
        "consume --withdraw": "a model to use",
        "verify --accept": "a verdict that is WARN",
        "verify --ignore": "a model folder beside the verdict",
        "verify --max-age-days": "a verdict that is a day old",
        "verify --require": "a verdict that is not GO",
        "try --pdb": "a falsifier that raises",
        "check --contracts": "contracts of one's own",
        "store prune --keep-runs": "several runs that are old",
        "store prune --older-than": "evidence that is old",
        "eval score --partial": "answers that are missing",
        "eval compare --seed": "enough problems to draw from",
        "eval compare --partial": "answers that are missing",
        "eval score --minimum-isolation": "a machine without a sandbox",
        "eval humaneval --minimum-isolation": "a machine without a sandbox",
        "eval humaneval --allowed-errors": "a server that fails",
        "eval humaneval --base-url": "a server",
        "eval humaneval --key-variable": "a server",
        "distill run --force": "a run that is in the way",
        "distill tokenize --field": "a corpus of JSON rows",
    }
)
