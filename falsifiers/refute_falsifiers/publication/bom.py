"""Is the bill of materials of these files, of this teacher and init, and of what was measured?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

_BOM, _FILE, _MANIFEST = "bom.cdx.json", "release/bom.cdx.json", "manifest.jsonl"
_ROLES = ("teacher", "init")
_FILES = {"README.md": "1" * 64, "model.safetensors": "2" * 64}
_LINEAGE = {"teacher": {"sha256": "a" * 64}, "init": {"sha256": "b" * 64}}
_SCORE, _RUN = {"pass_at_1": 0.25}, {"final_heldout_ce": 2.25}


def _component(name: str, sha256: str, role: str | None = None) -> dict[str, Any]:
    found = {"name": name, "hashes": [{"alg": "SHA-1", "content": "0" * 40}, {"alg": "SHA-256", "content": sha256}]}
    return found if role is None else {**found, "bom-ref": role, "type": "machine-learning-model"}


def _bill(
    bench: Bench,
    files: Mapping[str, str | None] | None = None,
    ancestors: Mapping[str, str] | None = None,
    metrics: Mapping[str, str] | None = None,
    spec: str = "1.6",
) -> None:
    """A bill of what was staged, less what `files`, `ancestors` and `metrics` say otherwise.

    More files are missing in it where the bars want more; of ancestors and metrics there are two.
    """
    own = len(files or {})
    bar = bench.bar("differing_files")
    many = int((bar.failing if own else bar.holding)(own, low=own, high=10_000, whole=True))
    for name, wrong in (("wrong_ancestors", ancestors or {}), ("wrong_metrics", metrics or {})):
        find = bench.bar(name).failing if wrong else bench.bar(name).holding
        find(len(wrong), low=len(wrong), high=len(wrong), whole=True)
    staged = {**_FILES, **{f"lost_{n}.txt": "3" * 64 for n in range(many - own)}}
    listed = {name: sha256 for name, sha256 in {**_FILES, **(files or {})}.items() if sha256 is not None}
    rows = [{"path": path, "sha256": sha256} for path, sha256 in {**staged, _BOM: "4" * 64}.items()]
    digests = {role: (ancestors or {}).get(role, _LINEAGE[role]["sha256"]) for role in _ROLES}
    shown = {"pass@1": "25.0", "cross-entropy": "2.250", **(metrics or {})}
    model = {
        "pedigree": {"ancestors": [_component(f"org/{role}", digest, role) for role, digest in digests.items()]},
        "modelCard": {
            "quantitativeAnalysis": {"performanceMetrics": [{"type": name, "value": v} for name, v in shown.items()]}
        },
    }
    components = [_component(name, sha256) for name, sha256 in listed.items()]
    bom = {"bomFormat": "CycloneDX", "specVersion": spec, "metadata": {"component": model}, "components": components}
    bench.put("staged", _MANIFEST, rows)
    bench.put("staged", _FILE, bom)
    bench.put("lineage", "lineage.json", _LINEAGE)
    bench.put("humaneval_student", "summary.json", _SCORE)
    bench.put("student", "summary.json", _RUN)


def as_staged(bench: Bench) -> None:
    """Every file but itself, teacher and init, score and loss."""
    _bill(bench)


def one_hash_changed(bench: Bench) -> None:
    """A file of another content."""
    _bill(bench, files={"model.safetensors": "9" * 64})


def a_file_left_out(bench: Bench) -> None:
    """A staged file is not listed."""
    _bill(bench, files={"README.md": None})


def a_file_too_many(bench: Bench) -> None:
    """A file is listed that was not staged."""
    _bill(bench, files={"theirs.txt": "9" * 64})


def another_teacher(bench: Bench) -> None:
    """The teacher's digest is another model's."""
    _bill(bench, ancestors={"teacher": "9" * 64})


def another_init(bench: Bench) -> None:
    """The init's digest is another model's."""
    _bill(bench, ancestors={"init": "9" * 64})


def a_better_score(bench: Bench) -> None:
    """A tenth of a point more than was measured."""
    _bill(bench, metrics={"pass@1": "25.1"})


def a_lower_loss(bench: Bench) -> None:
    """The loss of another run."""
    _bill(bench, metrics={"cross-entropy": "2.150"})


def another_format(bench: Bench) -> None:
    """A version of the format in which models cannot be described."""
    _bill(bench, spec="1.4")


@falsifier(
    "publication-bom",
    needs=("staged", "lineage", "student", "humaneval_student"),
    measures={"differing_files": "files", "wrong_ancestors": "models", "wrong_metrics": "metrics"},
    controls=(
        known_good(as_staged),
        *(known_bad(build) for build in (one_hash_changed, a_file_left_out, a_file_too_many, another_teacher)),
        *(known_bad(build) for build in (another_init, a_better_score, a_lower_loss)),
        known_unusable(another_format, raises=ValueError),
    ),
)
def publication_bom(context: Context) -> Iterator[Measurement]:
    """Refuted when a staged file is not in the bill with its SHA-256 or another is, when teacher or init have other
    digests than the evidence, or when score or loss are not what was measured, to the digits that are shown."""
    staged = context.evidence("staged")
    bom = staged.json(_FILE)
    if (bom.get("bomFormat"), bom.get("specVersion")) != ("CycloneDX", "1.6"):
        raise ValueError(f"{_BOM} is no CycloneDX 1.6")
    manifest = {row["path"]: row["sha256"] for row in staged.rows(_MANIFEST) if row["path"] != _BOM}
    listed = {each["name"]: _sha256(each) for each in bom["components"]}
    paths = manifest.keys() | listed.keys()
    yield Measurement(
        "differing_files", sum(manifest.get(path) != listed.get(path) for path in paths), "files", n=len(paths)
    )
    model, lineage = bom["metadata"]["component"], context.evidence("lineage").json("lineage.json")
    digests = {each["bom-ref"]: _sha256(each) for each in model["pedigree"]["ancestors"]}
    other = [digests.get(role) != lineage[role]["sha256"] for role in _ROLES]
    yield Measurement("wrong_ancestors", sum(other), "models", n=len(other))
    metrics = {each["type"]: each["value"] for each in model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]}
    score = 100 * context.evidence("humaneval_student").json("summary.json")["pass_at_1"]
    loss = context.evidence("student").json("summary.json")["final_heldout_ce"]
    wrong = [metrics.get("pass@1") != f"{score:.1f}", metrics.get("cross-entropy") != f"{loss:.3f}"]
    yield Measurement("wrong_metrics", sum(wrong), "metrics", n=len(wrong))


def _sha256(component: Mapping[str, Any]) -> str | None:
    return next((each["content"] for each in component["hashes"] if each["alg"] == "SHA-256"), None)
