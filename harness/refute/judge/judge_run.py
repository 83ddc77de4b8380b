"""A finished run -> signed verdict. Runs in its own process; trusts nothing but files it hashes again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from refute.attest import PrivateKey, key_id, public_pem
from refute.attest.keys import private_keys
from refute.isolation.containment import Containment, View, contain
from refute.isolation.hooks import hooks_that_wait
from refute.judge.case import Case, ParsedTexts, parse_texts
from refute.judge.exhibits.inputs import gather_inputs
from refute.judge.exhibits.sections import exhibits
from refute.judge.predicate.coverage import cover
from refute.judge.predicate.engine import identify_engine
from refute.judge.predicate.exhibits import Exhibits
from refute.judge.predicate.identity import identify
from refute.judge.predicate.inputs import Inputs
from refute.judge.predicate.model import Predicate
from refute.judge.recompute import recompute
from refute.judge.remeasure.measure_again import measure_again
from refute.judge.run.evidence import HashedEvidence, hash_evidence
from refute.judge.run.facts import Contained, RunFacts, Signer
from refute.judge.run.folder import RunFile, RunFolder
from refute.judge.run.own_copies import unknown_texts
from refute.judge.run.records import check_records
from refute.judge.run.sequence import next_sequence
from refute.judge.run.spec_versions import changed_texts, remember_texts
from refute.judge.sign import Judged, sign_verdict
from refute.judge.subject import StagedSubject, stage_subject
from refute.judge.verdict import Verdict
from refute.lock.file import checked_pem
from refute.outcome import Ruling
from refute.spec.fields import moment, utc_now
from refute.spec.policy import LoadedPolicy
from refute.spec.texts import PolicyText
from refute.spec.waiver import WaiverFile

VERIFIER = "refute"
_NO_WAIVERS = WaiverFile()


@dataclass(frozen=True, slots=True)
class Operator:
    """Who judges, and what they bring: a signing key, a policy that says who may waive, waivers.

    `development`: the key was made on this machine and vouches for nobody. A lock counts when one of `lock_keys` (PEM)
    signed it; without any, the public half of `key` must have. `sequence` numbers the verdict among those of its
    release; left out, it is the next one of the run's siblings. `authority` is the URL of an RFC 3161 service that is
    asked when it saw the signature. `pytest` is how the gate that asks has contained pytest.
    """

    key: PrivateKey
    development: bool
    policy: LoadedPolicy | None = None
    waivers: WaiverFile = _NO_WAIVERS
    lock_keys: Sequence[bytes] = ()
    sequence: int | None = None
    authority: str | None = None
    pytest: Containment = Containment.NONE

    @property
    def signer(self) -> Signer:
        """The signer as a verdict names it."""
        return Signer(key_id=key_id(public_pem(self.key)), development=self.development)

    @property
    def policy_text(self) -> PolicyText | None:
        """The policy as a verdict quotes it."""
        if (policy := self.policy) is None:
            return None
        return PolicyText(name=policy.path.name, sha256=policy.sha256, text=policy.text)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the judge's own things lie.

    With `falsifiers`, folders of falsifier files, everything is measured again, apart from this process, before GO or
    WARN is signed; without, the records are taken as true measurements. `store` is where the evidence lies, a folder or
    a URL, if not where the run noted it. With `specs_and_releases`, files or folders, the run must have been asked by
    copies of them. `secrets` are files, beside private keys in the user's folder, that no falsifier may read.
    """

    falsifiers: Sequence[Path] | None = None
    store: str | Path | None = None
    specs_and_releases: Sequence[Path] | None = None
    secrets: Sequence[Path] = ()


_AS_NOTED = Places()


def judge_run(run: RunFolder, operator: Operator, places: Places = _AS_NOTED, faults: Sequence[str] = ()) -> Judged:
    """Judge the records of `run`, sign the verdict with the operator's key, and write it into the run folder,
    beside those that lie there.

    `faults` are sentences about the run that no verdict can pass over.

    Raises UsageError for a folder that is no run or a sequence already passed, SpecError when the texts in run.json
    do not parse, UnreadableInputError when records.jsonl or evidence.jsonl cannot be read, EvidenceError when the
    evidence or what is kept beside the runs cannot, VerificationError when run.json or evidence.jsonl contradicts
    itself: what would not verify is not signed. ServiceError where the operator's authority gave no timestamp, and
    ExperimentError where the verdict cannot be written.
    """
    run_file = run.read_run()
    texts = parse_texts(run_file.release, run_file.specs, operator.policy_text)
    evidence = hash_evidence(run, places.store)
    subject = stage_subject(run_file, texts.release, evidence.sound, run)
    case = _case(run, run_file, texts, evidence, subject, operator)
    runs = run.path.parent
    changed = changed_texts(runs, texts.specs, texts.spec_texts)
    unknown = unknown_texts((*run_file.specs, run_file.release), places.specs_and_releases)
    case = case.with_faults((*subject.faults, *faults, *changed, *_hooked(run_file.facts), *unknown))
    verdict, remeasured, again = case.rule(), False, Containment.NONE
    # What stops a release anyway needs no second look.
    if places.falsifiers is not None and verdict.ruling is not Ruling.NO_GO:
        jail = contain(View((run.path,), tuple(places.falsifiers), hidden=(*private_keys(), *places.secrets)))
        different = measure_again(run, texts.specs, case.records, evidence.sound, places.falsifiers, jail.wrapper)
        case, again = case.with_faults(different), jail.tier
        verdict, remeasured = case.rule(), True
    with next_sequence(runs, texts.release.release, operator.sequence) as number:
        contained = Contained(pytest=operator.pytest, remeasured=again)
        predicate = _predicate(
            case, verdict, run, evidence, subject, number=number, remeasured=remeasured, contained=contained
        )
        recompute(predicate)
        remember_texts(runs, texts.specs, texts.spec_texts)
        return sign_verdict(predicate, operator.key, run.path, operator.authority)


def _case(
    run: RunFolder,
    run_file: RunFile,
    texts: ParsedTexts,
    evidence: HashedEvidence,
    subject: StagedSubject,
    operator: Operator,
) -> Case:
    """What a run noted, as far as its files bear it out."""
    checked = check_records(run, texts.specs, run_file.facts.falsifiers, evidence)
    lock_keys = operator.lock_keys or [public_pem(operator.key)]
    return Case(
        texts=texts,
        run=run_file.facts,
        records=checked.records,
        record_faults=checked.faults,
        evidence=evidence.files,
        made_by=evidence.made_by,
        subject=subject.subject,
        waivers=operator.waivers,
        lock=run_file.lock,
        lock_keys=tuple(map(checked_pem, lock_keys)) if run_file.lock else (),
        requires=run_file.requires,
        signer=operator.signer,
        evaluated_at=utc_now(),
    )


def _hooked(facts: RunFacts) -> tuple[str, ...]:
    """Start-up hooks reach neither this process nor experiments; but who put them there meant to reach something."""
    return tuple(
        f"a start-up hook from outside the interpreter's own folders: {name}.py; remove it, and run the gate again"
        for name in sorted({*facts.hooks, *hooks_that_wait()})
    )


def _predicate(
    case: Case,
    verdict: Verdict,
    run: RunFolder,
    evidence: HashedEvidence,
    subject: StagedSubject,
    *,
    number: int,
    remeasured: bool,
    contained: Contained,
) -> Predicate:
    """The content to sign: the case word for word, its verdict, and what readers are shown beside them."""
    texts, waivers, facts = case.texts, case.waivers, case.run
    distilled = texts.release.distillation is not None
    at, subject_sha256 = moment(case.evaluated_at), case.subject.sha256
    return Predicate(
        verdict=verdict,
        identity=identify(texts.release, facts.id, number, at, verdict, waivers.waivers, subject_sha256),
        coverage=cover(
            texts.specs, case.records, verdict, registered=facts.falsifiers, deselected=run.read_deselected()
        ),
        subject=case.subject,
        model=subject.model,
        release=texts.release_text,
        specs=texts.spec_texts,
        records=case.records,
        record_faults=case.record_faults,
        policy=texts.policy_text,
        waivers=waivers.waivers,
        malformed_waivers=waivers.malformed,
        evidence=evidence.files,
        made_by=evidence.made_by,
        run=facts,
        signer=case.signer,
        evaluated_at=case.evaluated_at,
        verifier=VERIFIER,
        verifier_version=version(VERIFIER),
        remeasured=remeasured,
        contained=contained,
        engine=identify_engine(),
        lock=case.lock,
        lock_keys=case.lock_keys,
        requires=case.requires,
        inputs=gather_inputs(evidence.sound) if distilled else Inputs(),
        exhibits=exhibits(evidence.sound, case.records) if distilled or texts.release.dogfood else Exhibits(),
    )
