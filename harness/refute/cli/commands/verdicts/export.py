"""`refute export`: a verdict in the formats of other people's tools, as files or beside an artefact in a registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.arguments import read_file, read_keys
from refute.cli.commands.groups import grouped
from refute.cli.console import print_json
from refute.cli.options import Json, PassphraseFile, PublicKey
from refute.disk import write_whole
from refute.errors import UsageError
from refute.verify.export.kinds import SUFFIXES, Format

if TYPE_CHECKING:
    from refute.attest import PrivateKey
    from refute.judge.predicate.projections import Names
    from refute.verify.export.formats import Exported
    from refute.verify.operators import Taken


@dataclass(frozen=True, slots=True)
class Named:
    """What the consumer knows things by."""

    verifier_id: Annotated[str | None, typer.Option(help="URI that the consumer knows this verifier by.")] = None
    resource_uri: Annotated[
        str | None, typer.Option(help="URI of what was released, such as pkg:huggingface/org/name@commit.")
    ] = None
    run_url: Annotated[str | None, typer.Option(help="Address of the run, such as that of a CI job.")] = None

    def names(self) -> Names:
        """With this program's own where none is given."""
        from refute.judge.predicate.projections import VERIFIER_ID, Names

        return Names(self.verifier_id or VERIFIER_ID, self.resource_uri, self.run_url)


@dataclass(frozen=True, slots=True)
class ByIdentity:
    """Who signs a Sigstore bundle anew, without a key of their own."""

    keyless: Annotated[
        bool, typer.Option("--keyless", help="Sign the Sigstore bundle by identity (OIDC, Fulcio, Rekor).")
    ] = False
    identity_token: Annotated[
        Path | None, typer.Option(help="File with an OIDC token (default: the job's own, as in GitHub Actions).")
    ] = None
    trust_config: Annotated[
        Path | None, typer.Option(help="Sigstore client trust configuration (default: the public instance).")
    ] = None

    def sign(self, verdict: Exported) -> bytes:
        """The bundle. Raises as `sign_by_identity` does."""
        from refute.attest import peek_envelope
        from refute.attest.keyless import sign_by_identity
        from refute.judge.predicate.bundle import read_bundle

        token = read_file(self.identity_token).decode("utf-8", "replace").strip() if self.identity_token else None
        payload, _ = peek_envelope(read_bundle(verdict.data).verdict)
        try:
            return sign_by_identity(payload, token, self.trust_config)
        except UsageError as error:
            raise UsageError(f"{self.identity_token or 'no token'}: {error}", hint=error.hint) from error

    def check(self) -> None:
        """Raises UsageError for what means nothing without --keyless."""
        given = self.identity_token or self.trust_config
        if given is not None and not self.keyless:
            raise UsageError(f"{given} says how to sign by identity", hint="add --keyless")


@dataclass(frozen=True, slots=True)
class Signing:
    """The key that signs statements of their own, and the certificates of the one that signed the verdict."""

    signing_key: Annotated[
        str | None, typer.Option(help="Private key for --format vsa and test-result: a PEM file or a URI.")
    ] = None
    public_key: PublicKey = None
    passphrase_file: PassphraseFile = None
    certificate: Annotated[
        Path | None,
        typer.Option(help="Certificates of a key that signed, its own first (PEM), for the Sigstore bundle."),
    ] = None

    def chain(self) -> tuple[bytes, ...]:
        """The certificates (DER), if they are named. Raises UsageError for a file that holds none."""
        if self.certificate is None:
            return ()
        from refute.attest.certificate import load_chain

        return load_chain(read_file(self.certificate), str(self.certificate))

    def open(self) -> PrivateKey | None:
        """The key, if one is named. Raises as `open_signing_key` does, and UsageError for what belongs to none."""
        from refute.attest.signing_key import open_signing_key

        if self.signing_key is not None:
            return open_signing_key(self.signing_key, self.public_key, self.passphrase_file)
        if (given := self.public_key or self.passphrase_file) is not None:
            raise UsageError(f"{given} goes with a key that signs", hint="add --signing-key")
        return None


@grouped
def export(
    verdict: Annotated[Path, typer.Argument(help="verdict.intoto.json, or a bundle: .intoto.jsonl, .sigstore.json")],
    named: Named,
    signing: Signing,
    by_identity: ByIdentity,
    key: Annotated[list[Path] | None, typer.Option(help="A public key that you trust; repeatable.")] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy with the operators' keys.")] = None,
    formats: Annotated[
        list[Format] | None, typer.Option("--format", help="What to write; repeatable (default: sigstore).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to (default: the verdict's).")] = None,
    oci: Annotated[
        str | None,
        typer.Option(metavar="HOST/NAME@DIGEST", help="Push a Sigstore bundle beside this manifest in a registry."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a verdict that verifies in the formats of other tools.

    `sigstore`: a Sigstore bundle 0.3 around the verdict. `vsa`, `test-result`: a SLSA verification summary, an in-toto
    test result, signed by --signing-key. `predicate`: the predicate alone, for tools that sign statements of their own.
    """
    from refute.judge.run.verdict_files import files_of
    from refute.verify.export.formats import write_format
    from refute.verify.operators import take_verdict

    by_identity.check()
    taken = take_verdict(verdict, read_keys(key or []), policy)
    exported = _exported(verdict, taken, named, signing)
    folder, pushed = out or verdict.parent, None
    wanted = dict.fromkeys([*(formats or ()), *([Format.SIGSTORE] if oci or not formats else ())])
    contents = {each: write_format(exported, each) for each in wanted}
    if by_identity.keyless and Format.SIGSTORE in contents:
        contents[Format.SIGSTORE] = by_identity.sign(exported)
    paths = {each: folder / files_of(verdict).exported(SUFFIXES[each]).name for each in contents}
    for each, content in contents.items():
        write_whole(paths[each], content)
    if oci is not None:
        from refute.attest.sigstore_bundle import MEDIA_TYPE
        from refute.verify.export.referrers import push_referrer

        pushed = push_referrer(oci, contents[Format.SIGSTORE], MEDIA_TYPE)
    _show({str(each): str(path) for each, path in paths.items()}, pushed, taken, as_json=as_json)


def _exported(verdict: Path, taken: Taken, named: Named, signing: Signing) -> Exported:
    """What formats are made of."""
    from refute.verify.export.formats import Exported
    from refute.verify.timestamps import find_timestamps

    return Exported(
        taken.data,
        taken.verified.predicate,
        taken.verified.payload_sha256,
        taken.trusted,
        find_timestamps(verdict),
        signing.open(),
        named.names(),
        signing.chain(),
    )


def _show(paths: dict[str, str], pushed: str | None, taken: Taken, *, as_json: bool) -> None:
    if as_json:
        digest = taken.verified.payload_sha256
        print_json({"files": paths, "referrer": pushed, "payload_sha256": digest, "lacking": taken.lacking})
        return
    for name, path in paths.items():
        typer.echo(f"{name:<11}  {path}")
    if pushed is not None:
        typer.echo(f"referrer     {pushed}")
    if taken.lacking:
        typer.echo(f"the policy is not met yet: {taken.lacking}")
