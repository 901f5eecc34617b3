"""`chaos [VERSION] [AUTHORS...]`: who serves here, in class CH (RFC 4892)."""

import random
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from dnsserver import __version__
from dnsserver.corefile import Directive
from dnsserver.message import Reply
from dnsserver.names import Name, from_text
from dnsserver.plugins.options import once, properties
from dnsserver.plugins.plugin import Context, Handler, Plugin, Request, Runtime
from dnsserver.records import Rcode, RRClass, RRset, RRType, txt

_MAX_TEXT = 255  # octets of a character string (RFC 1035, section 3.3)
_CLASSES = (int(RRClass.IN), int(RRClass.ANY))
_NO_SUCH_CLASS = Reply(rcode=Rcode.REFUSED, authoritative=False, extended_error=(20, ""))  # RFC 8914, section 4.21

_VERSION = (from_text("version.bind"), from_text("version.server"))
_HOST = (from_text("hostname.bind"), from_text("id.server"))
_AUTHORS = from_text("authors.bind")


class Chaos(Plugin):
    """Answers TXT of five names of class CH; who else in the block answers other classes gets the other questions."""

    name = "chaos"
    any_class = True

    def __init__(
        self,
        version: str,
        authors: Sequence[str] = (),
        *,
        host: Callable[[], str] = socket.gethostname,
        source: random.Random | None = None,
    ) -> None:
        self.version = _text(version)
        self.authors = tuple(sorted({_text(author) for author in authors}))
        self._host = host
        self._random = source or random.Random()  # noqa: S311  # nobody is to come first always; nothing is secret
        self._alone = True  # no other plugin of the block answers classes but IN

    def lets_pass(self, ttl: int) -> bool:
        """It answers in class CH."""
        del ttl
        return True

    async def handle(self, request: Request, call_next: Handler) -> Reply:
        query = request.query
        if query.qclass == RRClass.CH and query.qtype == RRType.TXT:
            rdatas = self._rdatas(query.name)
            if rdatas is not None:
                answer = (RRset(query.name, RRType.TXT, 0, rdatas),) if rdatas else ()
                return Reply(authoritative=False, answer=answer)
        if self._alone and query.qclass not in _CLASSES:
            return _NO_SUCH_CLASS
        return await call_next(request)

    def _rdatas(self, name: Name) -> tuple[bytes, ...] | None:
        """Return the RDATA at a name, None where there is no such name."""
        if name in _VERSION:
            return (txt(self.version),)
        if name in _HOST:
            return (txt(_text(self._host())),)
        if name == _AUTHORS:
            return tuple(map(txt, self._random.sample(self.authors, len(self.authors))))
        return None

    @asynccontextmanager
    async def running(self, runtime: Runtime) -> AsyncIterator[None]:
        self._alone = not any(plugin.any_class for plugin in runtime.block(self) if plugin is not self)
        yield


def _text(text: str) -> bytes:
    """Return text as a character string, cut where it is too long."""
    return text.encode()[:_MAX_TEXT]


def parse(directives: Sequence[Directive], _context: Context) -> tuple[Plugin, ...]:
    """Return the block's only `chaos`; without arguments it says the program and its version, as CoreDNS does."""
    directive = once(directives)
    tuple(properties(directive))  # refuses whatever there is
    version, *authors = directive.args or (f"dnsserver-{__version__}",)
    return (Chaos(version, authors),)
