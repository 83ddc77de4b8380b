"""Does a hub hold what was staged, does a stranger pull just that, and does no fault publish it twice or half?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

_MANIFEST, _PUSHED, _TREE, _REFS, _PULLED = "manifest.jsonl", "pushed.json", "tree.jsonl", "refs.jsonl", "pulled.jsonl"
_PUSHES, _PULLS = "push_faults.jsonl", "pull_faults.jsonl"
_FIRST = "initial commit"
# A hub makes it, with the repository.
_HUBS_OWN = ".gitattributes"
_MOST = 10_000


def _amount(bench: Bench, measurement: str, own: int, most: int = 10_000) -> int:
    """How much of it evidence that has `own` is to hold, so that it fails its bar; or clears it, where `own` is 0."""
    bar = bench.bar(measurement)
    return int((bar.failing if own else bar.holding)(own, low=own, high=most, whole=True))


# ------------------------------------------------------------------------------------------------ one release on a hub

_FILES: Mapping[str, bytes] = {"README.md": b"# card", "config.json": b"{}", "model.safetensors": b"weights"}
_MAIN, _COMMIT, _ELSEWHERE = "a" * 40, "c" * 40, "e" * 40
_NAMES = ("tag", "main", "branch", "digest")
_PLACES = ("main", "tag", "pulled")


def _staged(path: str, data: bytes) -> dict[str, Any]:
    sha1 = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    return {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "git_sha1": sha1}


def _entry(path: str, data: bytes, at: str) -> dict[str, Any]:
    """As a hub lists it: large files by SHA-256, and git's name is that of a pointer then."""
    found = _staged(path, data)
    large = {"git_sha1": "9" * 40} if path.endswith(".safetensors") else {"sha256": None}
    return {"at": at, **found, **large}


def _publish(
    bench: Bench,
    changed: Mapping[str, Mapping[str, bytes | None]] | None = None,
    names: Sequence[str] = (),
    on_main: Sequence[str] = (),
    on_branch: Sequence[str] = (),
    committed: bool = True,
) -> None:
    """A release on a hub, less what is wrong with it, and with more of that where the bar wants more.

    `changed` says by place which files are others there, `names` what names something else; titles `on_main` and
    `on_branch` come on top of the release's, which main has if it was `committed`.
    """
    changed = changed or {}
    own = sum(map(len, changed.values()))
    lost = {f"lost_{n}.txt": b"lost" for n in range(_amount(bench, "differing_files", own) - own)}
    own = len(on_main) + len(on_branch) + (not committed)
    on_branch = [*on_branch, *["again"] * (_amount(bench, "surplus_commits", own) - own)]
    others = [each for each in _NAMES if each not in names]
    names = [*names, *others[: _amount(bench, "wrong_names", len(names), len(_NAMES)) - len(names)]]
    manifest = [_staged(path, data) for path, data in {**_FILES, **lost}.items()]
    bench.put("staged", _MANIFEST, manifest)
    held = {place: {**_FILES, **({} if place == "main" else lost), **changed.get(place, {})} for place in _PLACES}
    files = {place: {path: data for path, data in each.items() if data is not None} for place, each in held.items()}
    trees = [_entry(path, data, at) for at in ("main", "tag") for path, data in {_HUBS_OWN: b"*", **files[at]}.items()]
    bench.put("rehearsal", _TREE, trees)
    bench.put("rehearsal", _PULLED, [_staged(path, data) for path, data in files["pulled"].items()])
    _name(bench, _digest(manifest), names, on_main, on_branch, committed=committed)


def _name(
    bench: Bench,
    digest: str,
    names: Sequence[str],
    on_main: Sequence[str],
    on_branch: Sequence[str],
    *,
    committed: bool,
) -> None:
    """Branches, the tag and what the push said of them."""
    short = digest[:12]
    titles = [f"Release {short}", _FIRST]
    refs = (
        ("branch", "main", _ELSEWHERE if "main" in names else _MAIN, [*on_main, *titles][not committed :]),
        ("branch", f"release/{short}", _ELSEWHERE if "branch" in names else _COMMIT, [*on_branch, *titles]),
        ("tag", f"release-{short}", _ELSEWHERE if "tag" in names else _COMMIT, titles),
    )
    bench.put("rehearsal", _REFS, [dict(zip(("kind", "name", "commit", "titles"), each, strict=True)) for each in refs])
    told = {"branch": f"release/{short}", "commit": _COMMIT, "tag": f"release-{short}", "main": _MAIN}
    bench.put("rehearsal", _PUSHED, {**told, "digest": "0" * 64 if "digest" in names else digest})


def as_staged(bench: Bench) -> None:
    """main, tag and what was pulled are the manifest, one commit each."""
    _publish(bench)


def another_byte_on_the_way(bench: Bench) -> None:
    """As many bytes arrive as were staged, and others: the hub's own client takes them."""
    _publish(bench, {"pulled": {"model.safetensors": b"WEIGHTS"}})


def a_small_file_of_another_content(bench: Bench) -> None:
    """A small file is other than staged, and git's name of it says so."""
    _publish(bench, {"main": {"config.json": b"[]"}, "tag": {"config.json": b"[]"}})


def weights_of_another_release(bench: Bench) -> None:
    """main holds weights of the same size that were not staged."""
    _publish(bench, {"main": {"model.safetensors": b"WEIGHTS"}})


def a_file_lost(bench: Bench) -> None:
    """One file was staged and is not on the hub."""
    _publish(bench, {"tag": {"config.json": None}, "pulled": {"config.json": None}})


def a_file_cut_short(bench: Bench) -> None:
    """Half of a file arrives."""
    _publish(bench, {"pulled": {"model.safetensors": b"wei"}})


def a_file_of_somebody_else(bench: Bench) -> None:
    """main holds a file that nobody staged."""
    _publish(bench, {"main": {"theirs.txt": b"?"}})


def the_same_commit_twice(bench: Bench) -> None:
    """An answer was lost, and the commit was made again."""
    _publish(bench, on_branch=("Release again",))


def somebody_elses_commit(bench: Bench) -> None:
    """Another commit lies on main."""
    _publish(bench, on_main=("somebody else",))


def a_commit_that_is_not_there(bench: Bench) -> None:
    """main holds the files, and no commit that put them there."""
    _publish(bench, committed=False)


def a_tag_that_was_moved(bench: Bench) -> None:
    """The tag names another commit than was pulled and hashed."""
    _publish(bench, names=("tag",))


def main_went_on(bench: Bench) -> None:
    """main is not the commit that the push left."""
    _publish(bench, names=("main",))


def a_branch_that_went_on(bench: Bench) -> None:
    """The release's branch is not at the commit that was pulled."""
    _publish(bench, names=("branch",))


def the_digest_of_another_release(bench: Bench) -> None:
    """What was pushed is said to be another release than was staged."""
    _publish(bench, names=("digest",))


def an_empty_manifest(bench: Bench) -> None:
    """Nothing was staged: there is nothing that a hub could hold."""
    _publish(bench)
    bench.put("staged", _MANIFEST, [])


@falsifier(
    "publication-remote",
    needs=("staged", "rehearsal"),
    measures={"differing_files": "files", "surplus_commits": "commits", "wrong_names": "names"},
    controls=(
        known_good(as_staged),
        *(known_bad(build) for build in (another_byte_on_the_way, a_small_file_of_another_content, a_file_lost)),
        *(known_bad(build) for build in (weights_of_another_release, a_file_cut_short, a_file_of_somebody_else)),
        *(known_bad(build) for build in (the_same_commit_twice, somebody_elses_commit)),
        *(known_bad(build) for build in (a_tag_that_was_moved, main_went_on, a_branch_that_went_on)),
        *(known_bad(build) for build in (the_digest_of_another_release, a_commit_that_is_not_there)),
        known_unusable(an_empty_manifest, raises=ValueError),
    ),
)
def publication_remote(context: Context) -> Iterator[Measurement]:
    """Refuted when main, the tag, or the files that were pulled by commit are not the manifest, file by file; when the
    release is not one commit on its branch and on main; when tag, branch, main or digest are not what was pushed."""
    manifest, rehearsal = context.evidence("staged").rows(_MANIFEST), context.evidence("rehearsal")
    if not manifest:
        raise ValueError("the manifest is empty: nothing was staged that a hub could hold")
    wanted = {(place, row["path"]): row for place in _PLACES for row in manifest}
    found = {("pulled", row["path"]): row for row in rehearsal.rows(_PULLED)}
    found |= {(row["at"], row["path"]): row for row in rehearsal.rows(_TREE) if row["path"] != _HUBS_OWN}
    differing = [key for key in wanted.keys() | found.keys() if not _is_same(wanted.get(key), found.get(key))]
    yield Measurement("differing_files", len(differing), "files", n=len(wanted))
    pushed = rehearsal.json(_PUSHED)
    refs = {(row["kind"], row["name"]): row for row in rehearsal.rows(_REFS)}
    ours = [refs.get(key, {}) for key in (("branch", "main"), ("branch", pushed["branch"]), ("tag", pushed["tag"]))]
    lengths = [len(row.get("titles", ())) for row in ours]
    # The first commit is the hub's, the second the release.
    yield Measurement("surplus_commits", sum(abs(length - 2) for length in lengths), "commits", n=sum(lengths))
    commits = (pushed["main"], pushed["commit"], pushed["commit"])
    wrong = [row.get("commit") != commit for row, commit in zip(ours, commits, strict=True)]
    yield Measurement("wrong_names", sum([*wrong, pushed["digest"] != _digest(manifest)]), "names", n=len(_NAMES))


def _digest(manifest: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 of RFC 8785 of the SHA-256 of every file by its path; paths are ASCII, as the hub has them."""
    content = {row["path"]: row["sha256"] for row in manifest}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _is_same(staged: Mapping[str, Any] | None, found: Mapping[str, Any] | None) -> bool:
    """By SHA-256 where that is known, else by git's SHA-1."""
    if staged is None or found is None:
        return False
    key = "git_sha1" if found["sha256"] is None else "sha256"
    return bool(staged[key] == found[key])


# ------------------------------------------------------------------------------------------------ under faults

_DONE = {"first": "published", "published": True, "commits": 1, "second": "published", "published_then": True}
_TRIED = {"fault": "commit: drop", **_DONE, "commits_then": 1, "expected": "published"}
_REFUSED = {"first": "untrusted", "published": False, "commits": 0, "second": "untrusted", "published_then": False}
_ENDLESS = {**_TRIED, **_REFUSED, "commits_then": 0, "expected": "untrusted"}
_FAILED_FIRST = {**_TRIED, "first": "failed", "published": False, "commits": 0}


def _push_under_faults(bench: Bench, *rows: Mapping[str, Any], **wrong: int) -> None:
    """Pushes of which `rows` are wrong in the ways and as often as `wrong` says; more, where the bars want more."""
    kinds = {
        "contradictions": {**_FAILED_FIRST, "commits": 1, "published": True},
        "duplicates": {**_TRIED, "commits": 2, "commits_then": 2},
        "unconverged": {**_FAILED_FIRST, "second": "failed", "published_then": False, "commits_then": 0},
    }
    more = [kinds[name] for name in kinds for _ in range(_amount(bench, name, wrong.get(name, 0)) - wrong.get(name, 0))]
    bar, many = bench.bar("rehearsed"), len(rows) + len(more)
    least = int((bar.failing if "rehearsed" in wrong else bar.holding)(40, low=max(many, 1), high=10_000, whole=True))
    good = ([_TRIED, _FAILED_FIRST, _ENDLESS] * least)[: least - many]
    bench.put("rehearsal", _PUSHES, [{**row, "fault": f"fault {n}"} for n, row in enumerate([*rows, *more, *good])])


def every_fault_survived(bench: Bench) -> None:
    """Published once, or not at all and said so; the second call ends as it must."""
    _push_under_faults(bench)


def published_and_not_said(bench: Bench) -> None:
    """The answer was lost, and an exception was taken for a failure."""
    _push_under_faults(bench, {**_FAILED_FIRST, "commits": 1}, contradictions=1)


def said_and_not_published(bench: Bench) -> None:
    """It ended well, and the hub does not hold the release."""
    _push_under_faults(bench, {**_TRIED, "published": False, "commits": 0}, contradictions=1)


def half_published(bench: Bench) -> None:
    """It ended well, and the tag is missing."""
    _push_under_faults(bench, {**_TRIED, "published": False}, contradictions=1)


def not_so_the_second_time(bench: Bench) -> None:
    """The second call says that it failed, and the hub holds the release."""
    _push_under_faults(bench, {**_ENDLESS, "second": "untrusted", "published_then": True}, contradictions=1)


def published_twice(bench: Bench) -> None:
    """The commit was made again, because its answer was lost."""
    _push_under_faults(bench, {**_TRIED, "commits": 2, "commits_then": 2}, duplicates=1)


def published_again_by_the_second_call(bench: Bench) -> None:
    """The second call does not see what the first has done."""
    _push_under_faults(bench, {**_TRIED, "commits_then": 2}, duplicates=1)


def never_published(bench: Bench) -> None:
    """After a passing fault a second call fails, too."""
    stuck = {**_FAILED_FIRST, "second": "failed", "published_then": False, "commits_then": 0}
    _push_under_faults(bench, stuck, unconverged=1)


def published_what_is_false(bench: Bench) -> None:
    """A hub keeps other bytes than were sent, and the release is published all the same."""
    _push_under_faults(bench, {**_TRIED, "expected": "untrusted"}, unconverged=1)


def a_few_faults(bench: Bench) -> None:
    """Nothing that matters was tried."""
    _push_under_faults(bench, rehearsed=1)


def the_client_alone(bench: Bench) -> None:
    """This run's upload by the hub's own client, which is told nothing of what it has done."""
    rows = bench.real["rehearsal"].rows("plain_pushes.jsonl")
    own = sum(map(_contradicts, rows))
    bench.bar("contradictions").failing(own, low=own, high=own)
    _push_under_faults(bench, *rows, contradictions=own)


@falsifier(
    "publication-faults",
    needs=("rehearsal",),
    measures={"contradictions": "pushes", "duplicates": "pushes", "unconverged": "pushes", "rehearsed": "pushes"},
    controls=(
        known_good(every_fault_survived),
        *(known_bad(build) for build in (published_and_not_said, said_and_not_published, half_published)),
        *(known_bad(build) for build in (not_so_the_second_time, published_twice, published_again_by_the_second_call)),
        *(known_bad(build) for build in (never_published, published_what_is_false, a_few_faults)),
        known_bad(the_client_alone),
    ),
)
def publication_faults(context: Context) -> Iterator[Measurement]:
    """Refuted when a push under a fault says otherwise than the hub holds, publishes twice, or is not brought to its
    end by a second call."""
    rows = context.evidence("rehearsal").rows_by(_PUSHES, "fault").values()
    duplicates = [max(row["commits"], row["commits_then"]) > 1 for row in rows]
    unconverged = [row["second"] != row["expected"] for row in rows]
    yield Measurement("contradictions", sum(map(_contradicts, rows)), "pushes", n=len(rows))
    yield Measurement("duplicates", sum(duplicates), "pushes", n=len(rows))
    yield Measurement("unconverged", sum(unconverged), "pushes", n=len(rows))
    yield Measurement("rehearsed", len(rows), "pushes", n=len(rows))


def _contradicts(row: Mapping[str, Any]) -> bool:
    """Whether an end that is no publication left one, or one that is none."""
    told = (
        (row["first"], row["published"], row["commits"]),
        (row["second"], row["published_then"], row["commits_then"]),
    )
    return any(not held if ending == "published" else bool(held or commits) for ending, held, commits in told)


def _pull_under_faults(bench: Bench, *rows: Mapping[str, Any], accepted: int = 0, few: bool = False) -> None:
    """Pulls of which `rows` took something else for the release, `accepted` of them; more, where the bar wants more."""
    wrong = {"accepted": True, "equal": False}
    more = [wrong] * (_amount(bench, "accepted", accepted) - accepted)
    bar, many = bench.bar("rehearsed"), len(rows) + len(more)
    least = int((bar.failing if few else bar.holding)(9, low=max(many, 1), high=10_000, whole=True))
    good = [{"accepted": False, "equal": False}, {"accepted": True, "equal": True}] * least
    every = [*rows, *more, *good[: least - many]]
    bench.put("rehearsal", _PULLS, [{**row, "fault": f"fault {n}"} for n, row in enumerate(every)])


def nothing_false_taken(bench: Bench) -> None:
    """What was taken is the release; what is not was refused."""
    _pull_under_faults(bench)


def another_byte_taken(bench: Bench) -> None:
    """As many bytes, and others among them."""
    _pull_under_faults(bench, {"accepted": True, "equal": False}, accepted=1)


def hardly_a_fault(bench: Bench) -> None:
    """Nothing was tried that could go wrong."""
    _pull_under_faults(bench, few=True)


def a_download_that_compares_sizes(bench: Bench) -> None:
    """This run's downloads by the hub's own client."""
    rows = bench.real["rehearsal"].rows("plain_pulls.jsonl")
    own = sum(row["accepted"] and not row["equal"] for row in rows)
    bench.bar("accepted").failing(own, low=own, high=own)
    _pull_under_faults(bench, *rows, accepted=own)


@falsifier(
    "publication-pull",
    needs=("rehearsal",),
    measures={"accepted": "pulls", "rehearsed": "pulls"},
    controls=(
        known_good(nothing_false_taken),
        *(known_bad(build) for build in (another_byte_taken, hardly_a_fault, a_download_that_compares_sizes)),
    ),
)
def publication_pull(context: Context) -> Iterator[Measurement]:
    """Refuted when a pull took for the release what is not the release to the byte."""
    rows = context.evidence("rehearsal").rows_by(_PULLS, "fault").values()
    accepted = [row["accepted"] and not row["equal"] for row in rows]
    yield Measurement("accepted", sum(accepted), "pulls", n=len(rows))
    yield Measurement("rehearsed", len(rows), "pulls", n=len(rows))
