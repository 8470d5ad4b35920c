"""Certificates for servers of tests, made by openssl."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="no program openssl")


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Certificate of 127.0.0.1, and its key."""
    assert OPENSSL is not None
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    name = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", key, "-out", certificate)
    made = [OPENSSL, "req", "-x509", *kind, *name, *files]
    subprocess.run(made, check=True, capture_output=True)
    return certificate, key
