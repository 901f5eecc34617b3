"""`dnsserver dump`: zones as master files (RFC 1035, section 5), read once by the plugins that would serve them."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from dnsserver import __version__
from dnsserver.admin.http import AdminServers
from dnsserver.admin.metrics import Metrics
from dnsserver.app import host_addresses
from dnsserver.message import Query, Reply
from dnsserver.names import Name, to_text
from dnsserver.plugins.file import File
from dnsserver.plugins.kubernetes import Kubernetes
from dnsserver.plugins.plugin import PluginError, Request, Runtime
from dnsserver.plugins.transferring.content import by_name
from dnsserver.records import RRClass, RRset, RRType
from dnsserver.setup import Setup
from dnsserver.wire import Record, class_to_text, record_to_text, type_to_text
from dnsserver.wire.zonetext import ZoneTextError, parse_record
from dnsserver.zone import Zone

_PATIENT = 1e9  # seconds: this module waits by itself, and says what for
# what the server makes itself, and so is known to be read again as it was
_PLAIN = frozenset({RRType.A, RRType.AAAA, RRType.CNAME, RRType.NS, RRType.PTR, RRType.SOA, RRType.SRV, RRType.TXT})


class DumpError(Exception):
    """What cannot be dumped; the text is for the user."""


# -- zones -------------------------------------------------------------------------------------------------------------


def choose(setup: Setup, asked: Sequence[Name]) -> Mapping[Name, Kubernetes | File]:
    """Return the plugins that have the zones asked for, all zones where none is; in the order asked, or the Corefile's.

    Of two plugins with the same zone it is the first in the Corefile's order. Raises `DumpError`.
    """
    there: dict[Name, Kubernetes | File] = {}
    for plugin in setup.plugins:
        if isinstance(plugin, Kubernetes):
            origins: Iterable[Name] = plugin.config.origins
        elif isinstance(plugin, File):
            origins = plugin.zones
        else:
            continue
        for origin in origins:
            there.setdefault(origin, plugin)
    if not there:
        raise DumpError("there is nothing to dump: only zones of the plugins kubernetes and file can be")
    if unknown := [origin for origin in asked if origin not in there]:
        known = ", ".join(map(to_text, there))
        raise DumpError(f"no plugin kubernetes or file has a zone {to_text(unknown[0])}, expecting one of {known}")
    return {origin: there[origin] for origin in asked or there}


async def read_zones(chosen: Mapping[Name, Kubernetes | File], seconds: float) -> tuple[Zone, ...]:
    """Return the zones once all that they are made of has been read; nothing runs any more then.

    Raises `DumpError` where that takes longer than `seconds`, or cannot be.
    """
    found: dict[Name, Zone] = {}
    deadline = asyncio.get_running_loop().time() + seconds
    for plugin in dict.fromkeys(chosen.values()):
        if isinstance(plugin, Kubernetes):
            async with reading(plugin, deadline) as own:
                zones = own.cluster.zones if own.cluster is not None else ()
                found |= {zone.origin: zone for zone in zones if chosen.get(zone.origin) is plugin}
        else:
            loaded = (plugin.transferable(origin) for origin in chosen if chosen[origin] is plugin)
            found |= {zone.origin: zone for zone in loaded if zone is not None}
    return tuple(found[origin] for origin in chosen)


@asynccontextmanager
async def reading(plugin: Kubernetes, deadline: float) -> AsyncIterator[Kubernetes]:
    """Run a plugin that is configured like this one; give it once everything has been read. Raises `DumpError`."""
    own = Kubernetes(replace(plugin.config, startup_timeout=_PATIENT, events=False))
    fault = ""
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout_at(deadline) as limit:

                def fail(message: str) -> None:
                    nonlocal fault
                    fault = message
                    with suppress(RuntimeError):  # the wait is over already
                        limit.reschedule(0.0)

                await stack.enter_async_context(own.running(_runtime(fail)))
        except PluginError as error:
            raise DumpError(str(error)) from error
        except TimeoutError as error:
            raise DumpError(fault or f"plugin/kubernetes: not read in time: {_missing(own)}") from error
        yield own


def _missing(plugin: Kubernetes) -> str:
    """Say what a plugin still waits for."""
    sources = plugin.cluster.sources if plugin.cluster is not None else ()
    kinds = sorted({kind.value for source in sources for kind in source.kinds if not source.status.lists[kind]})
    return f"no list yet of {', '.join(kinds)}" if kinds else "the lists are there, their zones are not"


def _runtime(fail: Callable[[str], None]) -> Runtime:
    """Return what a plugin needs to read a cluster: there is no server around it."""
    return Runtime(
        metrics=Metrics(__version__),
        http=AdminServers(),
        fail=fail,
        plugins=tuple,
        block=lambda _: (),
        server=lambda _: "",
        ask=_ask_nobody,
        addresses=host_addresses(),
    )


async def _ask_nobody(request: Request, query: Query) -> Reply:
    """Refuse: nobody asks anything of a server that does not listen."""
    raise PluginError("", f"nobody answers {query!r} for {request!r}")


# -- text --------------------------------------------------------------------------------------------------------------


def zone_lines(zone: Zone) -> Iterator[str]:
    """Yield the lines of a zone's master file: the SOA, the rest of the apex, then by name (RFC 4034, section 6.1).

    A name that exists without records, and without any below it, cannot be written but as a comment.
    """
    yield f"; zone {to_text(zone.origin)}, serial {zone.serial}"
    yield f"$ORIGIN {to_text(zone.origin)}"
    yield from _record_lines(zone.rrsets(zone.origin) or ())
    for name in by_name(zone):
        if name is None or name == zone.origin:
            continue
        rrsets = zone.nodes[name].rrsets(name)
        yield from _record_lines(rrsets)
        if not rrsets and name not in zone.below:
            yield f"; {to_text(name)} exists without records"


def _record_lines(rrsets: Iterable[RRset]) -> Iterator[str]:
    """Yield one line a record, the SOA first, then by type."""
    for rrset in sorted(rrsets, key=lambda one: (one.rrtype != RRType.SOA, one.rrtype)):
        for rdata in rrset.rdatas:
            yield _line(Record(rrset.owner, rrset.rrtype, RRClass.IN, rrset.ttl, rdata))


def _line(record: Record) -> str:
    """Return one record, its RDATA as octets where its text could not be read again (RFC 3597, section 5)."""
    text = record_to_text(record)
    if record.rrtype in _PLAIN:
        return text
    with suppress(ZoneTextError):
        if parse_record(text) == record:
            return text
    kind = f"{class_to_text(record.rrclass)} {type_to_text(record.rrtype)}"
    return f"{to_text(record.owner)} {record.ttl} {kind} \\# {len(record.rdata)} {record.rdata.hex()}"


# -- files -------------------------------------------------------------------------------------------------------------


def write_stream(zones: Iterable[Zone], stream: TextIO) -> None:
    """Write zones one after the other. Raises `OSError`."""
    for number, zone in enumerate(zones):
        if number:
            stream.write("\n")
        stream.writelines(f"{line}\n" for line in zone_lines(zone))
    stream.flush()


def write_files(zones: Iterable[Zone], folder: Path) -> None:
    """Write each zone to a file of its own; one that is there is replaced when the new one is complete.

    Raises `OSError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for zone in zones:
        path = folder / file_name(zone.origin)
        draft = folder / f".{path.name}.{os.getpid()}"
        try:
            with draft.open("w", encoding="ascii") as stream:
                write_stream((zone,), stream)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def file_name(origin: Name) -> str:
    """Return the name of a zone's file: where checkers and Knot DNS look for the zone's own name."""
    text = to_text(origin).removesuffix(".") or "root"
    return text.replace("%", "%25").replace("/", "%2F") + ".zone"
