"""A staged release in a folder of its own, ready to be pushed: what the gate staged, and what is said of it beside.

Beside, and not inside: a signature is about every file but itself and the verdict, so both hold for the pulled folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from refute.attest import SIGNATURE_FILE, PrivateKey, manifest_of_digests, write_model_signature
from refute.engines.publish.manifest import add_bytes, add_copy, check_against, write_manifest
from refute.engines.publish.push import StagedRelease
from refute.errors import UsageError
from refute.job import ProgressCallback
from refute.spec.experiments.evidence.publication import StagedFile
from refute.spec.experiments.evidence_files import RELEASED


def lay_out(
    staged: Path, beside: Mapping[str, bytes], out: Path, report: ProgressCallback, *, key: PrivateKey | None = None
) -> StagedRelease:
    """Copy the release that the evidence in `staged` holds into the new folder `out`, with files `beside` it by path.

    With `key`, a model.sig on all but these. Each file is read once, and hashed as it is copied. Raises UsageError for
    a folder that holds something already, a file that is not what the gate has staged, and a key that model.sig does
    not know.
    """
    before = StagedRelease.read(staged)
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty", hint="name another folder with --out: what was staged stays as it is")
    done = 0

    def told(size: int) -> None:
        nonlocal done
        done += size
        report("copy and hash", done, before.size, {})

    folder = out / RELEASED.name
    files = [add_copy(before.folder / each.path, folder, each.path, each.source, told) for each in before.files]
    if key is not None:
        beside = {**beside, SIGNATURE_FILE: sign_files(files, folder, tuple(beside), key)}
    files += [add_bytes(data, folder, path) for path, data in beside.items()]
    write_manifest(out, files)
    made = StagedRelease.read(out)
    by_path = {each.path: each for each in made.files}
    if changed := [each.path for each in before.files if by_path[each.path] != each]:
        raise UsageError(f"{changed[0]} is not what the gate has staged", hint="run the gate again")
    return made


def sign_files(files: Sequence[StagedFile], folder: Path, beside: Sequence[str], key: PrivateKey) -> bytes:
    """A model.sig on `files` as their manifest has them, in `folder`, where paths `beside` them lie unsigned.

    Raises UsageError for a key that model.sig does not know.
    """
    manifest = manifest_of_digests({each.path: each.sha256 for each in files}, folder)
    return write_model_signature(manifest, folder.name, beside, key)


def check(staged: StagedRelease, report: ProgressCallback) -> None:
    """Hash what was laid out. Raises VerificationError where it is not what its manifest says."""
    done = 0

    def told(size: int) -> None:
        nonlocal done
        done += size
        report("hash the staged files", done, staged.size, {})

    check_against(staged.folder, staged.files, told)
