"""The client's side of TLS, from the arguments of `tls [CERT KEY] [CA]`; reads files."""

import ssl
from collections.abc import Sequence
from pathlib import Path


def client_context(files: Sequence[Path] = ()) -> ssl.SSLContext:
    """Return a context that verifies the server: with the system's CAs, or with a CA file.

    `files` are none, a CA, a certificate and its key, or these and a CA. TLS 1.2 is the oldest version. Raises
    `ValueError` with what is wrong.
    """
    ca = files[-1] if len(files) in (1, 3) else None
    context = ssl.create_default_context(cafile=_readable(ca) if ca is not None else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 refuses certificates without a key identifier, which many private CAs make and Go takes.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if len(files) > 1:
        try:
            context.load_cert_chain(files[0], files[1], password="")  # none, rather than one asked at a terminal
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"could not load TLS cert: {error}") from error
    return context


def _readable(path: Path) -> Path:
    """Return the path of a file that has certificates; raises `ValueError`."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise ValueError(f"could not read root certs from {path}") from error
    except OSError as error:
        raise ValueError(f"error reading {path}: {error.strerror}") from error
    return path
