"""How an https:// upstream is spoken to. Certificates are always verified; there is no switch for that.

Must not know: what is said over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from OpenSSL.crypto import FILETYPE_PEM, load_certificate
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS, trustRootFromCertificates

__all__ = ["TLS"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """Options of TLS towards an upstream. Files are PEM, read once."""

    ca_file: str | None = None
    """Certificates to trust instead of the system's: a private CA, or a self-signed certificate itself."""
    server_name: str | None = None
    """Name to verify and to send as SNI, when it is not the URL's host."""
    client_certificate: str | None = None
    """Certificate and private key to show to the upstream, in one file."""

    def creator(self, host: str) -> IOpenSSLClientConnectionCreator:
        """Makes connections to ``host``. Raises ValueError in one line for a file that cannot be used."""
        trust = None
        if self.ca_file is not None:
            trust = trustRootFromCertificates(_certificates(self.ca_file))
        mine = None
        if self.client_certificate is not None:
            try:
                mine = PrivateCertificate.loadPEM(_read(self.client_certificate))
            except Exception:  # OpenSSL's errors are of many types
                raise ValueError(f"{self.client_certificate}: expected a certificate and its key in PEM") from None
        return optionsForClientTLS(self.server_name or host, trustRoot=trust, clientCertificate=mine)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None


def _certificates(path: str) -> list[Certificate]:
    end = b"-----END CERTIFICATE-----"
    blocks = [block + end for block in _read(path).split(end)[:-1]]
    try:
        found = [Certificate(load_certificate(FILETYPE_PEM, block)) for block in blocks]
    except Exception:  # likewise
        found = []
    if not found:
        raise ValueError(f"{path}: expected certificates in PEM")
    return found
