"""The folder of one gate run: what it was asked, its records, and which evidence it used. Appended to, never rewritten.

run.json          facts of the run, texts of release and specs
records.jsonl     one record a line, in the order they were made
evidence.jsonl    one line per piece of evidence: name, manifest digest, files
deselected.jsonl  falsifiers that -k, -m or --deselect left out
falsifiers.log    what falsifiers printed
end.json          written when pytest reached its end

What `refute judge` adds is described in verdict_files.py.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from refute.disk import read_regular
from refute.errors import EvidenceError, UnreadableInputError, UsageError, VerificationError
from refute.evidence.manifest import FileName
from refute.evidence.process.provenance import MadeBy
from refute.falsifier.context import Evidence
from refute.falsifier.records import record_to_json
from refute.judge.run.facts import CitedVerdict, RunFacts
from refute.lock.model import RunLock
from refute.outcome import Record
from refute.spec.fields import Closed, Sha256
from refute.spec.texts import ReleaseText, SpecText

_NAMES = TypeAdapter(list[str])
END_FILE = "end.json"
NOBODY: Mapping[str, MadeBy] = {}
_RUN_AGAIN = "no gate writes this: the file was damaged or changed; run the gate again"


class RunFile(Closed):
    """run.json. What is absolute stays here, and is not signed: `release_path` (None: the name), the store, and the
    repository's own `falsifiers`."""

    facts: RunFacts
    release: ReleaseText
    specs: tuple[SpecText, ...]
    store: str
    release_path: str | None = None
    lock: RunLock | None = None
    requires: tuple[CitedVerdict, ...] = ()
    falsifiers: tuple[str, ...] | None = None

    @property
    def release_file(self) -> Path:
        """Where the release file lies, or lay."""
        return Path(self.release_path or self.release.name)


class EvidenceLine(Closed):
    """One line of evidence.jsonl. `made_by` is what made it; None where its files were only taken in."""

    name: str
    digest: Sha256
    folder: str
    files: dict[FileName, Sha256]
    made_by: MadeBy | None = None


class RunFolder:
    """An existing run folder. `create` makes one, `find_run.open_run` finds one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, runs: Path) -> RunFolder:
        """A new, empty run folder below `runs`. Raises EvidenceError where that cannot be written."""
        name = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ") + "-" + secrets.token_hex(3)
        try:
            (runs / name).mkdir(parents=True)
        except OSError as error:
            raise EvidenceError(
                f"cannot create a run folder below {runs}: {error.strerror or error}",
                hint="make the folder writable, or choose another with --refute-dir",
            ) from error
        return cls(runs / name)

    def write_run(self, run: RunFile) -> None:
        """Record what the run was asked, once: a folder that holds a run is not taken for another.

        Raises UsageError for a path, argument or variable that is not UTF-8, EvidenceError where it cannot be written.
        """
        try:
            with (self.path / "run.json").open("x", encoding="utf-8") as stream:
                stream.write(run.model_dump_json(indent=1) + "\n")
        except PydanticSerializationError as error:
            raise UsageError(
                f"what this run was asked cannot be recorded: {error}",
                hint="rename folders, arguments and PYTEST_* variables so that they are UTF-8",
            ) from error
        except OSError as error:
            raise EvidenceError(f"cannot write {self.path / 'run.json'}: {error.strerror or error}") from error

    def read_run(self) -> RunFile:
        """Raises UsageError when this is not a run folder."""
        try:
            return RunFile.model_validate_json(read_regular(self.path / "run.json"))
        except (OSError, ValidationError) as error:
            raise UsageError(
                f"{self.path} is not a run folder: {error}",
                hint="give a folder below .refute/runs, or `latest`",
            ) from error

    def write_end(self, exit_status: int) -> None:
        """Note that pytest reached its end, and what it thought of it. Raises EvidenceError where it cannot."""
        try:
            (self.path / END_FILE).write_text(f'{{"pytest": {exit_status}}}\n', encoding="utf-8")
        except OSError as error:
            raise EvidenceError(f"cannot write {self.path / END_FILE}: {error.strerror or error}") from error

    @property
    def has_ended(self) -> bool:
        """Whether pytest reached its end."""
        return (self.path / END_FILE).is_file()

    def append_record(self, record: Record) -> None:
        """Add one record. A single short append: several processes may do so at once."""
        self._append("records.jsonl", record_to_json(record))

    def record_lines(self) -> list[bytes]:
        """The lines of records.jsonl as they are. Raises UnreadableInputError where they cannot be read."""
        return _lines(self.path / "records.jsonl")

    def append_evidence(self, evidence: Mapping[str, Evidence], made_by: Mapping[str, MadeBy] = NOBODY) -> None:
        """Note which evidence was used, and what made it. The same line twice does no harm."""
        for name, found in sorted(evidence.items()):
            line = EvidenceLine(
                name=name,
                digest=found.digest,
                folder=str(found.folder),
                files=dict(sorted(found.files.items())),
                made_by=made_by.get(name),
            )
            self._append("evidence.jsonl", line.model_dump_json())

    def read_evidence(self) -> dict[str, EvidenceLine]:
        """The evidence noted, by name.

        Raises UnreadableInputError for a line that is none, VerificationError for two that disagree.
        """
        path = self.path / "evidence.jsonl"
        found: dict[str, EvidenceLine] = {}
        for number, text in enumerate(_lines(path), start=1):
            try:
                line = EvidenceLine.model_validate_json(text)
            except ValidationError as error:
                raise UnreadableInputError(
                    f"{path} line {number} is not an evidence line: {error}", hint=_RUN_AGAIN
                ) from error
            if found.setdefault(line.name, line) != line:
                raise VerificationError(
                    f"{path} line {number}: evidence {line.name!r} has two different contents", hint=_RUN_AGAIN
                )
        return found

    def append_deselected(self, names: Sequence[str]) -> None:
        """Note falsifiers that the command line left out, as `SPEC::AC::F`. The same twice does no harm."""
        self._append("deselected.jsonl", json.dumps(sorted(names)))

    def read_deselected(self) -> frozenset[str]:
        """Falsifiers that were left out. Raises UnreadableInputError for a line that lists no names."""
        path = self.path / "deselected.jsonl"
        found: set[str] = set()
        for number, text in enumerate(_lines(path), start=1):
            try:
                found.update(_NAMES.validate_json(text))
            except ValidationError as error:
                raise UnreadableInputError(
                    f"{path} line {number} lists no falsifiers: {error}", hint=_RUN_AGAIN
                ) from error
        return frozenset(found)

    @property
    def log(self) -> Path:
        """Where falsifiers' own output goes."""
        return self.path / "falsifiers.log"

    def _append(self, name: str, text: str) -> None:
        data = (text + "\n").encode("utf-8")
        descriptor = os.open(self.path / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)


def _lines(path: Path) -> list[bytes]:
    """Of a file that need not be there. Raises UnreadableInputError for what is there and is none."""
    try:
        return read_regular(path).splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UnreadableInputError(f"cannot read {path}: {error.strerror or error}", hint=_RUN_AGAIN) from error


def dump_json(value: object) -> str:
    """Indented JSON with sorted keys, for people and programs."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
