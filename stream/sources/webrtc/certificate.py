"""The certificate of the phone's page: browsers give the camera to encrypted pages only."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import ssl
from pathlib import Path

import platformdirs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from egomon.errors import ConfigError

DAYS = 820
"""Apple's devices take no certificate for longer than 825 days."""
# A phone that trusted the old one has to be told of the new one: not on the day it ends.
RENEW_DAYS = 30
FILE_NAME = "phone-certificate.pem"


def own_certificate(address: str, folder: Path | None = None) -> Path:
    """The self-made certificate with its key in one file; made where there is none.

    It stays the same from run to run, so that a browser which was told to trust it asks no more.

    Args:
        address: under which this machine is reached, beside its name.
        folder: where it is kept; default: the user's data folder.

    Raises:
        ConfigError: the file cannot be written.
    """
    path = (folder or Path(platformdirs.user_data_dir("egomon"))) / FILE_NAME
    if not _is_good(path):
        try:
            _write(path, _make(address))
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}") from None
    return path


def check_certificate(certificate: Path, private_key: Path | None) -> None:
    """Raise a ConfigError if this pair cannot be served."""
    try:
        # A password that is asked for would stop the run: an encrypted key is an error.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, private_key, password=lambda: "")
    except (OSError, ValueError) as error:
        told = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"certificate {certificate} cannot be used: {told}; give PEM files of a certificate "
            "and its key, without a password"
        ) from None


def _is_good(path: Path) -> bool:
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return False
    ends: datetime.datetime = found.not_valid_after_utc
    return ends - datetime.datetime.now(datetime.UTC) > datetime.timedelta(days=RENEW_DAYS)


def _make(address: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    host = socket.gethostname()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "egomon phone page")])
    names: list[x509.GeneralName] = [
        x509.DNSName(each) for each in ("localhost", host, f"{host}.local") if each.isascii()
    ]
    for each in {"127.0.0.1", address}:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(each)))
        except ValueError:
            continue
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # phones whose clock is late
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        # Whoever trusts it trusts this page, and no other that its key could sign.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem: bytes = made.public_bytes(serialization.Encoding.PEM)
    pem += key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)
