"""What goes wrong while another server is asked, in the words of Go's net package.

Patterns that users wrote for CoreDNS (`errors { consolidate }`) match these texts.
"""

import os
import socket
import ssl

from dnsserver.upstream.endpoint import join


class UpstreamError(Exception):
    """No answer; the text is what CoreDNS would say."""


class ClosedByPeerError(UpstreamError):
    """The other side ended the connection; one that had been idle is then replaced, not blamed."""


TIMEOUT = "i/o timeout"


def local_and_remote(sock: socket.socket, remote: str) -> str:
    """Return `127.0.0.1:54321->10.0.0.1:53` of a connected socket."""
    host, port = sock.getsockname()[:2]
    return f"{join(host, port)}->{remote}"


def reason(error: OSError, call: str) -> str:
    """Return why a system call failed: `connect: connection refused`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        words: str = getattr(error, "reason", None) or "failure"  # one that OpenSSL did not raise has no reason
        return f"tls: {words.lower().replace('_', ' ')}"
    if isinstance(error, TimeoutError) and error.errno is None:
        return TIMEOUT
    if error.errno is None:
        return f"{call}: {str(error) or 'failed'}"
    text = os.strerror(error.errno)
    return f"{call}: {text[:1].lower()}{text[1:]}"
