"""Chains under an authority of one's own: what holds, and every fault that `cryptography` or the profile refuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from own_authority import CERTIFIES, NAME, NOW, SIGNS, Holder, Wanted, certify, leaf, root
from refute.attest.certificate import CertifiedName, key_of_certificate, load_authority, load_chain
from refute.errors import UsageError, VerificationError

Chain = tuple[Holder, ...]
MAIL = x509.RFC822Name("job@example.com")


@cache
def organisation() -> tuple[Holder, Holder, Holder]:
    """Root, issuing authority, signer."""
    top = root()
    issuing = certify(Wanted(), top)
    return top, issuing, certify(leaf(), issuing)


def key_of(chain: Chain, *authorities: Holder, name: str = NAME, days: float = 0) -> bytes:
    """`key_of_certificate` so many days from now."""
    trusted = CertifiedName(name, tuple(each.pem for each in authorities))
    return key_of_certificate([each.der for each in chain], trusted, [NOW + timedelta(days=days)])


def test_a_chain_leads_to_its_root_or_to_the_authority_that_is_pinned() -> None:
    """Whether the bundle repeats that certificate, or those above it, or leaves them out."""
    top, issuing, signer = organisation()
    for chain, pinned in (
        ((signer, issuing, top), top),
        ((signer, issuing), top),
        ((signer, issuing, top), issuing),
        ((signer, issuing), issuing),
        ((signer,), issuing),
    ):
        assert key_of(chain, pinned).startswith(b"-----BEGIN PUBLIC KEY-----")
    assert key_of((signer, issuing), root("Another"), top)  # one of several


def test_an_authority_certified_twice_is_the_one_that_the_bundle_shows() -> None:
    """Of two certificates for one key either leads to its own root, and never the one to the other's."""
    top, issuing, signer = organisation()
    other = root("Another")
    across = certify(Wanted(key=issuing.key), other)
    assert key_of((signer, across), other) == key_of((signer, issuing), top)
    for chain in ((signer, across), (signer, across, issuing), (signer, issuing, across)):
        with pytest.raises(VerificationError, match="not signed by"):
            key_of(chain, top)


def test_a_path_beside_the_chain_is_none() -> None:
    """The library would find the pinned twin of an authority; the bundle shows another certificate of it."""
    top, issuing, signer = organisation()
    stale = certify(Wanted(key=issuing.key, ends=NOW - timedelta(days=1)), top)
    with pytest.raises(VerificationError, match="is not the bundle's chain"):
        key_of((signer, stale), issuing)


def under(authority: Wanted, /, **changes: object) -> Chain:
    """A signer below an authority of this kind, which the root certified."""
    issuing = certify(authority, organisation()[0])
    return certify(leaf(**changes), issuing), issuing


def signer_with(**changes: object) -> Chain:
    """A signer of this kind."""
    return under(Wanted(), **changes)


def purposes(*each: x509.ObjectIdentifier) -> x509.ExtendedKeyUsage:
    """What a key is for."""
    return x509.ExtendedKeyUsage(each)


def constrained(permitted: list[x509.GeneralName] | None, excluded: list[x509.GeneralName] | None = None) -> Wanted:
    """An authority that may vouch for some names alone."""
    return Wanted(more=((x509.NameConstraints(permitted, excluded), True),))


def three_deep() -> Chain:
    """Below an authority that may have none below it."""
    upper = certify(Wanted(path_length=0), organisation()[0])
    lower = certify(Wanted(subject="Lower"), upper)
    return certify(leaf(), lower), lower, upper


UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
EMAIL_ONLY = purposes(ExtendedKeyUsageOID.EMAIL_PROTECTION)
FAULTS: dict[str, Callable[[], Chain]] = {
    "an expired authority": lambda: under(Wanted(ends=NOW - timedelta(days=1))),
    "an authority from tomorrow on": lambda: under(Wanted(begins=NOW + timedelta(days=1))),
    "no authority": lambda: under(Wanted(authority=False)),
    "an authority that may not certify": lambda: under(Wanted(usage=SIGNS)),
    "an authority for mail": lambda: under(Wanted(purposes=EMAIL_ONLY)),
    "too deep": three_deep,
    "no purpose": lambda: signer_with(purposes=None),
    "any purpose": lambda: signer_with(purposes=purposes(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)),
    "a server": lambda: signer_with(purposes=purposes(ExtendedKeyUsageOID.SERVER_AUTH)),
    "a clock": lambda: signer_with(purposes=purposes(ExtendedKeyUsageOID.TIME_STAMPING)),
    "no usage": lambda: signer_with(usage=None),
    "usage for certificates": lambda: signer_with(usage=CERTIFIES),
    "an authority that signs": lambda: signer_with(authority=True, usage=CERTIFIES),
    "an unknown critical extension": lambda: signer_with(more=((UNKNOWN, True),)),
    "another name": lambda: signer_with(names=(x509.UniformResourceIdentifier(f"{NAME}x"),)),
    "its name for a host": lambda: signer_with(names=(x509.DNSName("ci.example"),)),
    "its name as subject alone": lambda: signer_with(subject=NAME[:64], names=()),
    "URIs of others": lambda: under(constrained([x509.UniformResourceIdentifier("other.example")])),
    "signed by itself": lambda: (certify(leaf()),),
    "nothing": lambda: (),
    "upside down": lambda: organisation()[1:],
    "twice": lambda: (organisation()[2], organisation()[2], organisation()[1]),
    "root before authority": lambda: (organisation()[2], organisation()[0], organisation()[1]),
    "without what issued it": lambda: (organisation()[2],),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused(fault: str) -> None:
    """Whatever is wrong with certificate, chain or name."""
    with pytest.raises(VerificationError, match="not signed by"):
        key_of(FAULTS[fault](), organisation()[0])


@pytest.mark.parametrize(
    ("authority", "holds"),
    [
        (constrained([x509.RFC822Name("example.com")]), True),
        (constrained([x509.RFC822Name("other.example")]), False),
        (constrained(None, [x509.RFC822Name("example.com")]), False),
        (constrained([x509.RFC822Name("other.example"), x509.RFC822Name("job@example.com")]), True),
    ],
)
def test_an_authority_vouches_for_the_names_that_it_may(authority: Wanted, *, holds: bool) -> None:
    """Emails, permitted and excluded."""
    chain = under(authority, names=(MAIL,))
    if holds:
        assert key_of(chain, organisation()[0], name=MAIL.value)
        return
    with pytest.raises(VerificationError, match="name constraint"):
        key_of(chain, organisation()[0], name=MAIL.value)


def test_an_email_is_none_where_it_stands_for_another_kind_of_name() -> None:
    """Who may certify the emails of one domain could write any other's as a URI, which nothing constrains."""
    authority = constrained([x509.RFC822Name("example.com")])
    for name in ("boss@other.example", "job@example.com"):
        chain = under(authority, names=(x509.UniformResourceIdentifier(name),))
        with pytest.raises(VerificationError, match="as its email"):
            key_of(chain, organisation()[0], name=name)


@pytest.mark.parametrize("days", [-181, 181])
def test_a_certificate_counts_while_it_is_valid(days: int) -> None:
    """Neither before nor after."""
    top, issuing, signer = organisation()
    assert key_of((signer, issuing), top, days=days * 0.9)
    with pytest.raises(VerificationError, match="not valid at validation time"):
        key_of((signer, issuing), top, days=days)


def test_an_expired_root_is_none() -> None:
    """Though somebody pinned it."""
    old = certify(Wanted(ends=NOW - timedelta(days=1)))
    with pytest.raises(VerificationError, match="not valid"):
        key_of((certify(leaf(), old),), old)


def test_who_is_trusted_is_an_authority() -> None:
    """No signer, no key, no two certificates in one file; and a name."""
    top, _, signer = organisation()
    for pem in (signer.pem, b"", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", top.pem * 2):
        with pytest.raises(UsageError, match=r"no certificate in PEM|is no authority's"):
            load_authority(pem)
    for name, authorities in (("", (top.pem,)), (NAME, ())):
        with pytest.raises(UsageError, match="whoever vouches for it"):
            CertifiedName(name, authorities)
    with pytest.raises(UsageError, match=r"chain\.pem holds no certificates"):
        load_chain(b"text", "chain.pem")


def test_rubbish_is_a_refusal() -> None:
    """Bytes that are no certificate, or one that is cut short."""
    top, issuing, signer = organisation()
    trusted = CertifiedName(NAME, (top.pem,))
    for chain in ([b""], [b"\x30\x82"], [signer.der[:-1], issuing.der], [signer.der, issuing.der + b"\0"]):
        with pytest.raises(VerificationError, match="not signed by"):
            key_of_certificate(chain, trusted, [NOW])
