"""What a hub answers to each request, over its repositories and storage; nothing here knows of sockets."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from refute.engines.publish.rehearsal.faults import Fault, FaultTable, Route
from refute.engines.publish.rehearsal.repository import (
    Blob,
    Commit,
    RefusedError,
    Repository,
    Storage,
    is_large,
    part_names,
    without,
)

_ID = r"(?P<repo>[^/]+/[^/]+)"
# Method, path and route; the first that fits.
_ROUTES: tuple[tuple[str, str, Route], ...] = (
    ("POST", "/api/repos/create", "create"),
    ("POST", "/api/validate-yaml", "validate"),
    ("PUT", f"/api/models/{_ID}/settings", "settings"),
    ("POST", f"/api/models/{_ID}/preupload/(?P<rev>.+)", "preupload"),
    ("POST", rf"/{_ID}\.git/info/lfs/objects/batch", "batch"),
    ("POST", rf"/{_ID}\.git/info/lfs/complete", "lfs_complete"),
    ("POST", rf"/{_ID}\.git/info/lfs/verify", "lfs_verify"),
    ("POST", f"/api/models/{_ID}/commit/(?P<rev>.+)", "commit"),
    ("GET", f"/api/models/{_ID}/tree/(?P<rev>.+)", "tree"),
    ("GET", f"/api/models/{_ID}/refs", "refs"),
    ("GET", f"/api/models/{_ID}/commits/(?P<rev>.+)", "commits"),
    ("POST", f"/api/models/{_ID}/branch/(?P<rev>.+)", "branch"),
    ("POST", f"/api/models/{_ID}/tag/(?P<rev>.+)", "tag"),
    ("GET", f"/api/models/{_ID}/revision/(?P<rev>.+)", "info"),
    ("GET", f"/api/models/{_ID}", "info"),
)
_WRITES = frozenset({"create", "settings", "preupload", "batch", "lfs_verify", "commit", "branch", "tag"})


@dataclass(frozen=True, slots=True)
class Question:
    """A request: its route, what its path names, its body, and whether it came with the token."""

    route: Route
    repo: str
    revision: str
    body: bytes
    trusted: bool

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body or b"{}")


def route_of(method: str, path: str, body: bytes, *, trusted: bool) -> Question:
    """What is asked. Raises RefusedError for a request that no client of ours makes."""
    for known, pattern, route in _ROUTES:
        if known == method and (found := re.fullmatch(pattern, path)):
            names = found.groupdict()
            return Question(route, names.get("repo", ""), unquote(names.get("rev") or "main"), body, trusted)
    raise RefusedError(404, f"nothing answers {method} {path}", "EntryNotFound")


@dataclass(slots=True)
class Hub:
    """Repositories by id. `token` is what a writer must have, `api` and `files` are the addresses it is reached at.

    A file of more than `part_size` bytes is taken in parts of so many.
    """

    storage: Storage
    token: str
    faults: FaultTable = field(default_factory=FaultTable)
    api: str = ""
    files: str = ""
    part_size: int = 5 * 10**9
    repositories: dict[str, Repository] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def answer(self, asked: Question, fault: Fault | None) -> object:
        """JSON data. Raises RefusedError; a `fault` may let somebody else be first, or lose a file of what is done."""
        with self.lock:
            if asked.route in _WRITES and not asked.trusted:
                raise RefusedError(401, "a token is needed")
            if asked.route == "commit":
                return self._commit(asked, fault)
            return _ANSWERS[asked.route](self, asked)

    def repository(self, repo: str, *, trusted: bool) -> Repository:
        """Raises RefusedError where it is not there, or not for whoever asks."""
        found = self.repositories.get(repo)
        if found is None or (found.private and not trusted):
            raise RefusedError(404 if trusted else 401, "Repository not found", "RepoNotFound")
        return found

    def _create(self, asked: Question) -> object:
        wanted = asked.json()
        repo = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        if repo in self.repositories:
            # As the hub does: the answer to "it exists" has the address, too.
            raise RefusedError(
                409, json.dumps({"error": "You already created this model repo", "url": self._url(repo)})
            )
        made = self.repositories[repo] = self.storage.begin()
        made.private = wanted.get("visibility") == "private" or wanted.get("private") is True
        return {"url": self._url(repo)}

    def _url(self, repo: str) -> str:
        return f"{self.api}/{repo}"

    def _settings(self, asked: Question) -> object:
        self._open(asked).gated = asked.json().get("gated")
        return {}

    def _validate(self, asked: Question) -> object:
        if not str(asked.json()["content"]).startswith("---\n"):
            raise RefusedError(400, json.dumps({"errors": [{"message": "the card has no metadata"}], "warnings": []}))
        return {"errors": [], "warnings": []}

    def _info(self, asked: Question) -> object:
        commit = self._open(asked).at(asked.revision)
        siblings = [{"rfilename": path} for path in sorted(commit.tree)]
        return {"id": asked.repo, "sha": commit.oid, "siblings": siblings, "private": self._open(asked).private}

    def _preupload(self, asked: Question) -> object:
        tree = self._open(asked).at(asked.revision).tree
        return {"files": [_mode(each, tree) for each in asked.json()["files"]]}

    def _batch(self, asked: Question) -> object:
        self._open(asked)
        return {"objects": [self._upload_of(asked.repo, each) for each in asked.json()["objects"]]}

    def _upload_of(self, repo: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        found = {"oid": wanted["oid"], "size": wanted["size"]}
        if self.storage.size(wanted["oid"]) == wanted["size"]:
            return found
        lfs, parts = f"{self.api}/{repo}.git/info/lfs", part_names(wanted["oid"], wanted["size"], self.part_size)
        upload: dict[str, Any] = {"href": f"{self.files}/{wanted['oid']}"}
        if len(parts) > 1:
            places = {str(number): f"{self.files}/{name}" for number, name in enumerate(parts, start=1)}
            upload = {"href": f"{lfs}/complete", "header": {"chunk_size": str(self.part_size), **places}}
        return found | {"actions": {"upload": upload, "verify": {"href": f"{lfs}/verify"}}}

    def _lfs_complete(self, asked: Question) -> object:
        wanted = asked.json()
        self.storage.join(wanted["oid"], [each["etag"].strip('"') for each in wanted["parts"]])
        return {}

    def _lfs_verify(self, asked: Question) -> object:
        wanted = asked.json()
        if self.storage.size(wanted["oid"]) != wanted["size"]:
            raise RefusedError(404, "that object was not uploaded")
        return {}

    def _commit(self, asked: Question, fault: Fault | None) -> object:
        repository = self._open(asked)
        if fault is not None and fault.effect == "intrude":
            self.storage.commit(
                repository, asked.revision, "somebody else", {"theirs.txt": self.storage.regular(b"?")}, None
            )
        lines = [json.loads(line) for line in asked.body.splitlines()]
        header = next(each["value"] for each in lines if each["key"] == "header")
        changes = {each["value"]["path"]: self._blob(each) for each in lines if each["key"] != "header"}
        made = self.storage.commit(repository, asked.revision, header["summary"], changes, header.get("parentCommit"))
        if fault is not None and fault.effect == "lose":
            repository.commits[made.oid] = without(made, max(changes))
        return {"commitUrl": f"{self._url(asked.repo)}/commit/{made.oid}", "commitOid": made.oid}

    def _blob(self, line: Mapping[str, Any]) -> Blob:
        value = line["value"]
        if line["key"] == "file":
            return self.storage.regular(base64.b64decode(value["content"]))
        if line["key"] == "lfsFile":
            return self.storage.large(value["oid"], value["size"])
        raise RefusedError(400, f"a commit that has {line['key']}: nothing here is ever deleted")

    def _tree(self, asked: Question) -> object:
        commit = self._open(asked).at(asked.revision)
        return [blob.entry(path) for path, blob in sorted(commit.tree.items())]

    def _refs(self, asked: Question) -> object:
        found = self._open(asked)
        branches = [_ref("heads", name, oid) for name, oid in sorted(found.branches.items())]
        return {
            "branches": branches,
            "converts": [],
            "tags": [_ref("tags", *each) for each in sorted(found.tags.items())],
        }

    def _commits(self, asked: Question) -> object:
        return [_described(each) for each in self._open(asked).history(asked.revision)]

    def _branch(self, asked: Question) -> object:
        repository = self._open(asked)
        if asked.revision in repository.branches:
            raise RefusedError(409, "that branch exists")
        repository.branches[asked.revision] = repository.at(asked.json().get("startingPoint", "main")).oid
        return {}

    def _tag(self, asked: Question) -> object:
        repository, tag = self._open(asked), asked.json()["tag"]
        if tag in repository.tags:
            raise RefusedError(409, "that tag exists")
        repository.tags[tag] = repository.at(asked.revision).oid
        return {}

    def _open(self, asked: Question) -> Repository:
        return self.repository(asked.repo, trusted=asked.trusted)


_ANSWERS: Mapping[Route, Callable[[Hub, Question], object]] = {
    "create": Hub._create,
    "settings": Hub._settings,
    "validate": Hub._validate,
    "info": Hub._info,
    "preupload": Hub._preupload,
    "batch": Hub._batch,
    "lfs_complete": Hub._lfs_complete,
    "lfs_verify": Hub._lfs_verify,
    "tree": Hub._tree,
    "refs": Hub._refs,
    "commits": Hub._commits,
    "branch": Hub._branch,
    "tag": Hub._tag,
}


def _mode(wanted: Mapping[str, Any], tree: Mapping[str, Blob]) -> dict[str, Any]:
    large = is_large(wanted["path"], wanted["size"])
    there = tree.get(wanted["path"])
    oid = None if there is None else there.sha256 if there.large else there.git_sha1
    mode = "lfs" if large else "regular"
    return {"path": wanted["path"], "uploadMode": mode, "shouldIgnore": False} | ({} if oid is None else {"oid": oid})


def _ref(kind: str, name: str, oid: str) -> dict[str, str]:
    return {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": oid}


def _described(commit: Commit) -> dict[str, object]:
    when = "2026-01-01T00:00:00.000Z"
    return {"id": commit.oid, "authors": [], "date": when, "title": commit.title, "message": ""}
