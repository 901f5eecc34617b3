"""Master files: records that are well formed, or `MasterFileError` with a line of that file."""

from itertools import islice

from dnsserver import names
from dnsserver.records import RRType
from dnsserver.wire import rdata_to_text
from dnsserver.wire.format import NAMES_IN_RDATA
from dnsserver.wire.masterfile import Entry, MasterFileError, parse_master_file
from tests.fuzz.zones import MAX_RDATA, MAX_TTL, check_name, check_text, require

ORIGIN = names.from_text("example.org")
MOST = 300  # records that are looked at: $GENERATE makes 65,536 of one line
INCLUDED = {"other": "a 5 IN A 192.0.2.1\n$ORIGIN sub\nb 5 IN A 192.0.2.2\n", "self": "$INCLUDE self\n"}


def include(path: str, file: str) -> tuple[str, str]:
    """Return one of two files."""
    if path not in INCLUDED:
        raise FileNotFoundError(2, "no such file")
    return path, INCLUDED[path]


def check(data: bytes) -> None:
    """Check one file."""
    text = data.decode("utf-8", "surrogateescape")
    entries: list[Entry] = []
    try:
        for entry in islice(parse_master_file(text, ORIGIN, file="db", include=include), MOST):
            entries.append(entry)  # noqa: PERF402 -- what came before an error counts as well
    except MasterFileError as error:
        require(bool(error.message), "an error that says nothing")
        _check_place(error.file, error.line, text)
    for entry in entries:
        _check_place(entry.file, entry.line, text)
        check_name(entry.record.owner)
        assert 0 <= entry.record.ttl < MAX_TTL, f"TTL {entry.record.ttl}"
        assert len(entry.record.rdata) <= MAX_RDATA
        if (layout := NAMES_IN_RDATA.get(entry.record.rrtype)) is not None and layout[1] == 1:
            check_name(entry.record.rdata[layout[0] :])
    check_text(entry.record for entry in entries if _has_text(entry))


def _check_place(file: str, line: int, text: str) -> None:
    """Assert that a place is one of a file that was read."""
    lines = (text if file == "db" else INCLUDED[file]).count("\n") + 1
    assert 1 <= line <= lines, f"{file}:{line} of {lines} lines"


def _has_text(entry: Entry) -> bool:
    """Say whether the record's text is read back: dnslib's text of DNSSEC's types is for people alone."""
    record = entry.record
    text = rdata_to_text(record.rrtype, record.rdata)
    return text.startswith("\\#") or record.rrtype in (RRType.A, RRType.AAAA, RRType.TXT, *NAMES_IN_RDATA)
