"""Is what was staged the judged student, file by file, with a manifest that is true and signatures that hold?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from refute import Bench, Context, Evidence, Measurement, falsifier, known_bad, known_good, known_unusable

_MODEL, _RELEASE, _MANIFEST = "model/", "release/", "manifest.jsonl"
_STUDENT: Mapping[str, bytes] = {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer.json": b"{}\n"}
_RIGHT = {"changed_files": 0, "unlisted_files": 0, "wrong_digests": 0}
_MOST = 10_000
_CHUNK = 1 << 20


def _lay_out(
    bench: Bench,
    *,
    staged: Mapping[str, bytes | None] | None = None,
    rows: Mapping[str, Mapping[str, Any]] | None = None,
    **wrong: int,
) -> None:
    """A student and what was staged of it; `staged` and `rows` change files and lines of the manifest by path.

    `wrong` says what that comes to; more is added where the bars want more of it, or of the rest.
    """
    more = {name: _more(bench, name, own, failing=name in wrong) for name, own in (_RIGHT | wrong).items()}
    changed = {f"spare_{n}.json": b"before" for n in range(more["changed_files"])}
    listed = {f"wrong_{n}.txt": b"right" for n in range(more["wrong_digests"])}
    files: dict[str, bytes] = {**_STUDENT, "README.md": b"# card", **dict.fromkeys(changed, b"after"), **listed}
    files = {path: data for path, data in {**files, **(staged or {})}.items() if data is not None}
    manifest = {path: {**_row(path, data), **(rows or {}).get(path, {})} for path, data in files.items()}
    manifest |= {path: {**manifest[path], "git_sha1": "0" * 40} for path in listed}
    for path, data in {**_STUDENT, **changed}.items():
        bench.put("student", f"{_MODEL}{path}", data)
    for path, data in files.items():
        bench.put("staged", f"{_RELEASE}{path}", data)
    for number in range(more["unlisted_files"]):
        bench.put("staged", f"{_RELEASE}notes_{number}.txt", b"nobody declared this")
    bench.put("staged", _MANIFEST, [each for path, each in manifest.items() if (rows or {}).get(path) != {}])


def _more(bench: Bench, measurement: str, own: int, *, failing: bool) -> int:
    """How many are to be added to `own`, for the bar of this measurement to be failed, or cleared."""
    bar = bench.bar(measurement)
    return int((bar.failing if failing else bar.holding)(own, low=own, high=_MOST, whole=True)) - own


def _row(path: str, data: bytes) -> dict[str, Any]:
    return {
        "path": path,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "git_sha1": _git_sha1(data),
        "source": "student" if path in _STUDENT else "stage",
    }


def _git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def as_judged(bench: Bench) -> None:
    """The student's files to the byte, a card beside them, and a manifest of all."""
    _lay_out(bench)


def other_weights(bench: Bench) -> None:
    """Weights of the same size that nobody judged."""
    _lay_out(bench, staged={"model.safetensors": b"WEIGHTS"}, changed_files=1)


def a_pointer_for_the_weights(bench: Bench) -> None:
    """What git keeps in the place of a large file."""
    _lay_out(bench, staged={"model.safetensors": b"version https://git-lfs.github.com/spec/v1\n"}, changed_files=1)


def the_tokenizer_left_behind(bench: Bench) -> None:
    """A file of the student is not staged."""
    _lay_out(bench, staged={"tokenizer.json": None}, changed_files=1)


def a_file_in_no_manifest(bench: Bench) -> None:
    """A file is staged that the manifest does not list: whoever checks by it would miss that file."""
    _lay_out(bench, rows={"README.md": {}}, unlisted_files=1)


def a_stale_sha256(bench: Bench) -> None:
    """The manifest is of an earlier card."""
    _lay_out(bench, rows={"README.md": {"sha256": "0" * 64}}, wrong_digests=1)


def a_stale_git_sha1(bench: Bench) -> None:
    """A hub names small files by git's digest: this would compare equal to another."""
    _lay_out(bench, rows={"config.json": {"git_sha1": _git_sha1(b"[]")}}, wrong_digests=1)


def another_size(bench: Bench) -> None:
    """The manifest's size is not the file's."""
    _lay_out(bench, rows={"config.json": {"size": 3}}, wrong_digests=1)


def a_listed_file_that_is_not_there(bench: Bench) -> None:
    """The manifest lists a file that nobody staged."""
    _lay_out(bench)
    rows = [_row(path, data) for path, data in {**_STUDENT, "README.md": b"# card", "gone.txt": b""}.items()]
    bench.put("staged", _MANIFEST, rows)


@falsifier(
    "publication-staged",
    needs=("student", "staged"),
    measures={"changed_files": "files", "unlisted_files": "files", "wrong_digests": "files"},
    controls=(
        known_good(as_judged),
        *(known_bad(build) for build in (other_weights, a_pointer_for_the_weights, the_tokenizer_left_behind)),
        *(known_bad(build) for build in (a_file_in_no_manifest, a_stale_sha256, a_stale_git_sha1, another_size)),
        known_unusable(a_listed_file_that_is_not_there, raises=ValueError),
    ),
)
def publication_staged(context: Context) -> Iterator[Measurement]:
    """Refuted when a file of the student is not staged to the byte, a staged file is in no manifest, or the manifest
    says another size or digest of a file than the file has."""
    student, staged = context.evidence("student"), context.evidence("staged")
    judged, found = _below(student, _MODEL), _below(staged, _RELEASE)
    listed = staged.rows_by(_MANIFEST, "path")
    if gone := listed.keys() - found.keys():
        raise ValueError(f"the manifest lists {', '.join(gone)}, which was not staged")
    changed = [path for path, sha256 in judged.items() if found.get(path) != sha256]
    wrong = [path for path, row in listed.items() if not _is_true(staged, path, found[path], row)]
    yield Measurement("changed_files", len(changed), "files", n=len(judged))
    yield Measurement("unlisted_files", len(found.keys() - listed.keys()), "files", n=len(found))
    yield Measurement("wrong_digests", len(wrong), "files", n=len(listed))


def _below(evidence: Evidence, folder: str) -> dict[str, str]:
    """The SHA-256 of every file there, by its path; all of them count as read."""
    found = {name.removeprefix(folder): sha256 for name, sha256 in evidence.files.items() if name.startswith(folder)}
    for name in found:
        evidence.path(f"{folder}{name}")
    return found


def _is_true(staged: Evidence, path: str, sha256: str, row: Mapping[str, Any]) -> bool:
    """Whether a line of the manifest says of its file what the file says."""
    file = staged.path(f"{_RELEASE}{path}")
    size = file.stat().st_size
    sha1 = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with file.open("rb") as reading:
        while piece := reading.read(_CHUNK):
            sha1.update(piece)
    return (row["size"], row["sha256"], row["git_sha1"]) == (size, sha256, sha1.hexdigest())


_SIGNING, _DIGEST = "signing.json", "d" * 64
_HOLDS = {"unsigned": 0, "elsewhere": 0, "differing_files": 0}


def _sign(bench: Bench, **wrong: int) -> None:
    """A folder with two signatures; `wrong` says what is wrong with it, and more is added where the bars want more."""
    count = {name: own + _more(bench, name, own, failing=name in wrong) for name, own in (_HOLDS | wrong).items()}
    rows = [{"failed": None, "about": _DIGEST}, {"failed": None, "about": _DIGEST}]
    rows += [{"failed": "no key that is trusted has signed it", "about": None}] * count["unsigned"]
    rows += [{"failed": None, "about": "e" * 64}] * count["elsewhere"]
    differing = [f"file_{n}.json" for n in range(count["differing_files"])]
    _put_signed(bench, {"digest": _DIGEST, "files": _MOST, "signatures": rows, "differing": differing})


def _put_signed(bench: Bench, folder: Mapping[str, Any]) -> None:
    bench.put("signed", _SIGNING, {"staged": folder, "known_bad": {}})


def as_it_was_signed(bench: Bench) -> None:
    """Both signatures are of that key, and about these files."""
    _sign(bench)


def signed_by_another_key(bench: Bench) -> None:
    """Anybody may have made it."""
    _sign(bench, unsigned=1)


def signed_elsewhere(bench: Bench) -> None:
    """A signature of another release, copied here."""
    _sign(bench, elsewhere=1)


def a_file_changed_since(bench: Bench) -> None:
    """One file is not as it was signed."""
    _sign(bench, differing_files=1)


def nothing_to_verify(bench: Bench) -> None:
    """Neither a model.sig nor a verdict was looked for."""
    _put_signed(bench, {"digest": _DIGEST, "files": 1, "signatures": [], "differing": []})


def _as_this_run_sees_it(fault: str) -> Callable[[Bench], None]:
    def build(bench: Bench) -> None:
        """A small release of this run with a planted fault."""
        _put_signed(bench, bench.real["signed"].json(_SIGNING)["known_bad"][fault])

    return build


@falsifier(
    "publication-signatures",
    needs=("signed",),
    measures={"unsigned": "signatures", "elsewhere": "signatures", "differing_files": "files"},
    controls=(
        known_good(as_it_was_signed),
        *(known_bad(build) for build in (signed_by_another_key, signed_elsewhere, a_file_changed_since)),
        *(
            known_bad(_as_this_run_sees_it(fault), name=f"{fault.replace('_', ' ')} as this run sees it")
            for fault in ("changed_file", "missing_file", "missing_signature", "missing_verdict", "another_key")
        ),
        known_unusable(nothing_to_verify, raises=ValueError),
    ),
)
def publication_signatures(context: Context) -> Iterator[Measurement]:
    """Refuted when model.sig or the verdict beside a release is not there or not of the key that signed it, when one is
    about another folder, or when a file is not as model.sig has it."""
    folder = context.evidence("signed").json(_SIGNING)["staged"]
    signatures = folder["signatures"]
    if not signatures:
        raise ValueError("nobody looked at a signature")
    unsigned = sum(each["failed"] is not None for each in signatures)
    elsewhere = sum(each["about"] not in (None, folder["digest"]) for each in signatures)
    yield Measurement("unsigned", unsigned, "signatures", n=len(signatures))
    yield Measurement("elsewhere", elsewhere, "signatures", n=len(signatures))
    yield Measurement("differing_files", len(folder["differing"]), "files", n=folder["files"])


_LINT = "lint.jsonl"


def _lint(bench: Bench, severity: str, errors: int = 0) -> None:
    """A finding of this severity, and as many errors as the bar allows or, where there is to be one, forbids."""
    finding = {"rule": "config/remote-code", "severity": "error", "found": "auto_map"}
    count = errors + _more(bench, "lint_errors", errors, failing=errors > 0)
    bench.put("staged_lint", _LINT, [finding] * count + [{**finding, "severity": severity}] * (severity != "error"))


def files_in_order(bench: Bench) -> None:
    """No rule is broken but such as stop nobody."""
    _lint(bench, "warn")


def only_worth_knowing(bench: Bench) -> None:
    """A note."""
    _lint(bench, "info")


def what_stops_a_stranger(bench: Bench) -> None:
    """A rule is broken that stops whoever loads it."""
    _lint(bench, "error", 1)


@falsifier(
    "publication-lint",
    needs=("staged_lint",),
    measures={"lint_errors": "findings"},
    controls=(known_good(files_in_order), known_good(only_worth_knowing), known_bad(what_stops_a_stranger)),
)
def publication_lint(context: Context) -> Iterator[Measurement]:
    """Refuted when `refute model lint` finds errors in the staged folder or in one of its GGUF files."""
    rows = context.evidence("staged_lint").rows(_LINT)
    errors = sum(row["severity"] == "error" for row in rows)
    yield Measurement("lint_errors", errors, "findings", n=len(rows) + 1)
