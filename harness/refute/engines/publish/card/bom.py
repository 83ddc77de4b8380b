"""A bill of materials in CycloneDX 1.6 (ECMA-424): the model, every file with its hashes, what it descends from."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from refute.engines.publish.card.licences import spdx_licence
from refute.engines.publish.manifest import release_digest
from refute.spec.experiments.evidence.distill import Lineage, ModelIdentity
from refute.spec.experiments.evidence.publication import CardClaim, StagedFile
from refute.spec.publication import Origin, Publication

BOM: Final = "bom.cdx.json"
_MODEL: Final = "machine-learning-model"


def bill_of_materials(
    publication: Publication, files: Sequence[StagedFile], lineage: Lineage, claims: Sequence[CardClaim]
) -> dict[str, Any]:
    """The document, for the same release always the same."""
    digest = release_digest(files)
    model = {
        "type": _MODEL,
        "bom-ref": "model",
        "name": publication.name,
        "version": digest[:12],
        "licenses": [spdx_licence(publication.licence)],
        "pedigree": {"ancestors": list(_ancestors(publication, lineage))},
        "modelCard": {"modelParameters": {"task": "text-generation"}, "quantitativeAnalysis": _analysis(claims)},
    }
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {"component": model},
        "components": [_file(each) for each in sorted(files, key=lambda each: each.path)],
        "dependencies": [{"ref": "model", "dependsOn": sorted(f"file:{each.path}" for each in files)}],
    }


def _file(staged: StagedFile) -> dict[str, Any]:
    hashes = [{"alg": "SHA-256", "content": staged.sha256}]
    return {"type": "file", "bom-ref": f"file:{staged.path}", "name": staged.path, "hashes": hashes}


def _ancestors(publication: Publication, lineage: Lineage) -> list[dict[str, Any]]:
    init = publication.init or publication.teacher
    return [_ancestor("teacher", publication.teacher, lineage.teacher), _ancestor("init", init, lineage.init)]


def _ancestor(role: str, origin: Origin, identity: ModelIdentity) -> dict[str, Any]:
    """By the digest that the evidence `lineage` has of it."""
    return {
        "type": _MODEL,
        "bom-ref": role,
        "name": origin.repo,
        "description": role,
        "hashes": [{"alg": "SHA-256", "content": identity.sha256}],
        "licenses": [spdx_licence(origin.licence)],
    }


def _analysis(claims: Sequence[CardClaim]) -> Mapping[str, Any]:
    shown = {claim.id: claim.text.replace(",", "") for claim in claims}
    score = {
        "type": "pass@1",
        "value": shown["score"],
        "slice": "HumanEval",
        "confidenceInterval": {"lowerBound": shown["score_low"], "upperBound": shown["score_high"]},
    }
    loss = {"type": "cross-entropy", "value": shown["loss"], "slice": "held-out text, nat per token"}
    return {"performanceMetrics": [score, loss]}
