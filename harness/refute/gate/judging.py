"""The judge as the gate starts it: isolated, in a process of its own, and believed only in what it signed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refute.attest import default_key_directory, require_key_folder
from refute.attest.signing_key import read_public_key
from refute.disk import file_sha256
from refute.errors import GateError, UnreadableInputError, VerificationError
from refute.gate.key_check import public_half
from refute.isolation.containment import Containment
from refute.isolation.environment import clean_environment
from refute.isolation.handover import hand_over
from refute.judge.answer import AnswerPipe, Signed, signed_verdict
from refute.judge.run.folder import RunFolder
from refute.judge.run.own_copies import require_copies
from refute.spec.policy import load_policy
from refute.spec.waiver import load_waivers


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """With which key a judge signs (a PEM file; None: the development key), whose locks it believes, and what else
    `refute judge` takes: waivers, the policy that says who may waive, a number, the operator's own specs, and the URL
    of a timestamp authority."""

    refute_dir: Path
    key: Path | None
    lock_keys: Sequence[Path] = ()
    waivers: Path | None = None
    policy: Path | None = None
    sequence: int | None = None
    specs: Sequence[Path] = ()
    timestamp: str | None = None

    def check_key(self) -> bytes | None:
        """The public half (PEM) of `key` as it is now; None for the development key, which may have to be made yet.

        Raises now what would stop the judge after hours: UsageError, UnreadableInputError.
        """
        for path in self.lock_keys:
            read_public_key(path)
        if self.key is None:
            require_key_folder(default_key_directory())
            return None
        return public_half(self.key)

    def check_rules(self) -> Mapping[Path, str]:
        """SHA-256 of waivers and policy as they are now, to be held against what they are once the run has ended.

        Raises now what would stop the judge after hours: SpecError, UnreadableInputError; UsageError for specs that
        are not there.
        """
        if self.policy is not None:
            load_policy(self.policy)
        if self.waivers is not None:
            load_waivers(self.waivers)
        require_copies(self.specs)
        return {path: file_sha256(path) for path in (self.policy, self.waivers) if path is not None}

    @property
    def trusted_key(self) -> bytes:
        """The public half (PEM) of the key that signs. Raises as `check_key` does, and where nothing was signed yet."""
        if self.key is None:
            return read_public_key(default_key_directory() / "development.pub")
        return public_half(self.key)


# Runs a command to its end, with an environment and descriptors that it inherits; returns its status.
Start = Callable[[Sequence[str], dict[str, str], Sequence[int]], int]


def judge_recorded(
    run: RunFolder,
    options: JudgeOptions,
    start: Start,
    trusted: bytes | None = None,
    containment: Containment = Containment.NONE,
) -> Signed:
    """Have `run` judged by a process that `start` starts and waits for; returns what it signed.

    `trusted` is the public half (PEM) of the key as it was before the run; without it, the key is asked now.
    `containment` is how pytest ran, where the caller knows.

    Raises GateError where it did not sign: it refused, it broke off, or its file is not what it says. Its status alone
    is never believed, for that of an accident is the one of a NO-GO.
    """
    with AnswerPipe() as pipe:
        judge = hand_over(
            [*_judge_arguments(run.path, options, pipe.writing), "--contained", str(containment)],
            clean_environment(os.environ),
        )
        try:
            status = start(judge.command, judge.environment, (judge.descriptor, pipe.writing))
        finally:
            os.close(judge.descriptor)
        said = pipe.read()
    try:
        return signed_verdict(said, run, lambda: trusted or options.trusted_key)
    except (VerificationError, UnreadableInputError) as error:
        raise GateError(
            f"no verdict was signed: the judge ended with status {status}; {error}",
            hint=f"what it said stands above; the run is kept: refute judge {run.path}",
        ) from error


def _judge_arguments(run: Path, options: JudgeOptions, answer_fd: int) -> list[str]:
    """Judge `run`, and say what was signed on the descriptor `answer_fd`, which the judge must inherit."""
    signing = [] if options.key is None else ["--key", str(options.key)]
    named = {
        "--refute-dir": [options.refute_dir],
        "--lock-key": options.lock_keys,
        "--waivers": [options.waivers],
        "--policy": [options.policy],
        "--sequence": [options.sequence],
        "--specs": options.specs,
        "--timestamp": [options.timestamp],
    }
    given = [(name, str(each)) for name, values in named.items() for each in values if each is not None]
    return ["judge", str(run), *(word for pair in given for word in pair), *signing, "--answer-fd", str(answer_fd)]
