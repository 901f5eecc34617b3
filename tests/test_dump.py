"""`dnsserver dump`: every case's zones written and read again, checkers of other servers, flags and exit codes."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from dnsserver.cli import main
from dnsserver.corefile import parse
from dnsserver.dumping import DumpError, choose, file_name, read_zones, write_files, zone_lines
from dnsserver.names import Name, fold, from_text, order_key
from dnsserver.plugins.zonefile.content import build
from dnsserver.records import RRset, RRType
from dnsserver.setup import set_up
from dnsserver.wire.masterfile import Entry, parse_master_file
from dnsserver.zone import Fixed, Zone, ZoneEditor
from tests.fakes.api_server import FakeApiServer
from tests.test_cli import NAME, run, write_corefile, write_objects

CASES = Path(__file__).parent / "cases"
KUBEVIRT = sorted(path.name for path in (CASES / "kubevirt").glob("*.yaml"))
COREDNS = sorted(path.stem for path in (CASES / "coredns").glob("*.json"))
CHECKERS = {  # command -> its arguments for a zone and a file; `{config}` is Knot's, with every check on
    "kzonecheck": ("-o", "{zone}", "{file}"),
    "knotc": ("-c", "{config}", "zone-check", "{zone}"),
    "nsd-checkzone": ("{zone}", "{file}"),
    "named-checkzone": ("{zone}", "{file}"),
}
KNOT = """server:
    rundir: {folder}
database:
    storage: {folder}
template:
  - id: default
    storage: {folder}
    file: "%s.zone"
    semantic-checks: on
zone:
"""


async def dumped(corefile: str, folder: Path, asked: Sequence[Name] = (), seconds: float = 30.0) -> tuple[Zone, ...]:
    """Return the zones that `dump` would write."""
    return await read_zones(choose(set_up(parse(corefile), folder=folder, port=53), asked), seconds)


def no_include(path: str, including: str) -> tuple[str, str]:
    """Refuse: a dump is one file."""
    raise ValueError(f"{including} includes {path}")


def entries(zone: Zone) -> list[Entry]:
    """Read a zone's lines as a master file; every name in it is absolute, so the origin has to come from it as well."""
    text = "".join(f"{line}\n" for line in zone_lines(zone))
    return list(parse_master_file(text, from_text("wrong.test"), file="dump", include=no_include))


def content(rrsets: Iterable[RRset]) -> set[tuple[Name, int, int, frozenset[bytes]]]:
    """Return what RRsets say, whatever their order, and the case of aliases' targets, which the parser folds."""
    return {
        (one.owner, one.rrtype, one.ttl, frozenset(map(fold, one.rdatas) if one.rrtype == RRType.CNAME else one.rdatas))
        for one in rrsets
        if one.rdatas
    }


def check_round_trip(zone: Zone) -> int:
    """Compare a zone with its dump, and look at the order; return the number of records."""
    found = entries(zone)
    again = build(found, zone.origin, file="dump")
    assert again is not None
    assert content(again.zone.all_rrsets()) == content(zone.all_rrsets())
    assert again.zone.serial == zone.serial
    assert found[0].record.rrtype == RRType.SOA
    keys = [order_key(Name(one.record.owner)) for one in found]
    assert keys == sorted(keys)
    return len(found)


@pytest.mark.parametrize("case", KUBEVIRT)
async def test_kubevirt_case(case: str) -> None:
    """A dump says exactly what the zone holds, in canonical order."""
    corefile = f"cluster.local in-addr.arpa ip6.arpa {{\n kubernetes {{\n manifests {case}\n }}\n}}\n"
    zones = await dumped(corefile, CASES / "kubevirt")
    assert [zone.origin for zone in zones] == list(map(from_text, ("cluster.local", "in-addr.arpa", "ip6.arpa")))
    counts = [check_round_trip(zone) for zone in zones]
    assert min(counts) >= 2  # SOA and NS
    assert counts[0] > 3


@pytest.mark.parametrize("case", [name for name in COREDNS if name != "not-synced"])  # there the API server is down
async def test_coredns_case(case: str, tmp_path: Path) -> None:
    """The same of objects from an API server, with `file` zones where the case has them."""
    told = json.loads((CASES / "coredns" / f"{case}.json").read_text())
    for file, text in told.get("files", {}).items():
        (tmp_path / file).write_text(text)
    async with FakeApiServer() as api:
        for value in told["objects"]:
            api.put(value)
        zones = await dumped(told["corefile"].replace("@API@", api.url).replace("@PORT@", "0"), tmp_path)
    assert zones
    for zone in zones:
        check_round_trip(zone)


async def test_file_zone(tmp_path: Path) -> None:
    """Types that nobody here writes, and text that only just can be read, come back octet for octet."""
    lines = [
        "@ 60 SOA ns admin 7 1 2 3 4",
        "@ 60 NS ns",
        "ns 60 A 192.0.2.1",
        r"a\.b 60 TXT " + r'"a;\"b\\" "\000\255" ""',
        r'@ 60 CAA 0 issue "a\"b; c"',
        r"loc 60 TYPE29 \# 16 00121613895f7e0870 4e1d0000989680",
        r"odd\010name\064 60 TYPE65280 \# 3 abcdef",
        r"odd 60 TYPE65280 \# 0",
        "@ 60 MX 10 mail",
        "svc 60 SVCB 1 . alpn=h2,h3 port=8443",
        "* 60 CNAME ns",
    ]
    (tmp_path / "db").write_text("".join(f"{line}\n" for line in lines))
    (zone,) = await dumped("example.test {\n file db\n}\n", tmp_path)
    assert check_round_trip(zone) == len(lines)
    assert any("TYPE65280 \\# 3 abcdef" in line for line in zone_lines(zone))


def large_zone(count: int) -> Zone:
    """Return a zone with this many names."""
    editor = ZoneEditor(from_text("example.test"), 5)
    address = RRset(from_text("example.test"), RRType.A, 5, (bytes(4),))
    records = Fixed((address,))  # shared: what is measured is the dump
    for index in range(count):
        editor.set(from_text(f"host-{index:07d}.example.test"), records)
    return editor.publish(1)


def test_memory() -> None:
    """Lines are made one at a time: what a dump takes is a reference to each name, not the text of the zone."""
    zone = large_zone(20_000)
    tracemalloc.start()
    try:
        octets = sum(map(len, zone_lines(zone)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert octets > 400_000
    assert peak < 400_000


def test_files(tmp_path: Path) -> None:
    """One file a zone, replaced as a whole, and nothing else left behind."""
    zone = large_zone(3)
    (tmp_path / "example.test.zone").write_text("old")
    write_files([zone], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["example.test.zone"]
    assert (tmp_path / "example.test.zone").read_text().count(" IN A 0.0.0.0\n") == 3
    assert file_name(from_text("0/25.2.0.192.in-addr.arpa")) == "0%2F25.2.0.192.in-addr.arpa.zone"
    assert file_name(from_text(".")) == "root.zone"


@pytest.mark.parametrize("checker", CHECKERS)
def test_checkers(checker: str, tmp_path: Path) -> None:
    """Other servers' checkers take every file that `-o` writes."""
    command = shutil.which(checker, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if command is None:
        pytest.skip(f"{checker} is not installed")
    manifests = [str(CASES / "kubevirt" / name) for name in KUBEVIRT]
    ended = run("dump", "-o", "zones", "--manifests", *manifests, cwd=tmp_path)
    assert ended.returncode == 0
    files = sorted((tmp_path / "zones").iterdir())
    assert [path.name for path in files] == ["cluster.local.zone", "in-addr.arpa.zone", "ip6.arpa.zone"]
    config = tmp_path / "knot.conf"
    config.write_text(KNOT.format(folder=tmp_path / "zones") + "".join(f"  - domain: {one.stem}\n" for one in files))
    for file in files:
        values = {"zone": file.stem, "file": str(file), "config": str(config)}
        words = [word.format(**values) for word in CHECKERS[checker]]
        checked = subprocess.run((command, *words), capture_output=True, timeout=30, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Corefile and its objects."""
    folder = tmp_path_factory.mktemp("dump")
    write_corefile(folder)
    (folder / "none").write_text("a.test {\n whoami\n}\n")
    (folder / "bad").write_text(". {\n nonsense\n}\n")
    (folder / "taken").write_text("")
    (folder / "unreachable").write_text("a.test {\n kubernetes {\n endpoint http://127.0.0.1:1\n }\n}\n")
    return folder


WRONG_WORDS = [  # arguments, what stands on stderr
    (["a..b"], "dnsserver dump: argument ZONE: 'a..b' is not a zone: a label has 1 to 63 octets, not 0 (see "),
    (["--timeout", "0"], "'0' is not a number of seconds"),
    (["-p", "53"], "unrecognized arguments: -p"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_WORDS)
def test_wrong_words(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong command line is one line, and exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(["dump", *arguments])
    printed = capsys.readouterr()
    assert message in printed.err
    assert (ended.value.code, printed.out, printed.err.count("\n")) == (2, "", 1)


MISTAKES = [  # arguments, the end of stderr
    (["other.test"], "has a zone other.test., expecting one of cluster.local.\n"),
    (["-conf", "nowhere"], "nowhere - Error during parsing: cannot be read: No such file or directory\n"),
    (["-conf", "bad"], "dnsserver: bad:2 - Error during parsing: Unknown directive 'nonsense'\n"),
    (["-conf", "none"], "there is nothing to dump: only zones of the plugins kubernetes and file can be\n"),
    (["--zone", "a.test"], "--zone goes with --manifests"),
    (["--manifests", "nowhere"], "manifests: no such file or folder: nowhere\n"),
    (["-o", "taken"], "dnsserver: cannot write taken: File exists\n"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes(arguments: list[str], message: str, folder: Path) -> None:
    """One line that says what to mend; never a traceback, and nothing on stdout."""
    ended = run("dump", *arguments, cwd=folder)
    error = ended.stderr.decode()
    assert message in error
    assert (ended.returncode, ended.stdout, error.count("\n")) == (1, b"", 1)


def test_an_api_server_that_is_not_there(folder: Path) -> None:
    """The limit holds, and what is missing is said behind the log's own lines."""
    ended = run("dump", "-conf", "unreachable", "--timeout", "1", cwd=folder)
    *log, last = ended.stderr.decode().splitlines()
    assert last.startswith("dnsserver: plugin/kubernetes: not read in time: no list yet of ")
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert any("127.0.0.1" in line for line in log)


async def test_faults_end_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would end a server ends a dump, and not only when its time is up."""

    async def fail(self: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("dnsserver.cluster.Cluster.run", fail)
    write_corefile(tmp_path)
    with pytest.raises(DumpError, match="plugin/kubernetes: RuntimeError: broken"):
        await asyncio.wait_for(dumped((tmp_path / "Corefile").read_text(), tmp_path, seconds=600.0), 5)


def test_stdout(folder: Path) -> None:
    """All zones by default, in the Corefile's order; the ones asked for in the order asked; the log is on stderr."""
    ended = run("dump", "--manifests", "objects", cwd=folder)
    assert (ended.returncode, ended.stderr) == (0, b"")
    lines = ended.stdout.decode().splitlines()
    origins = [line for line in lines if line.startswith("$ORIGIN")]
    assert origins == ["$ORIGIN cluster.local.", "$ORIGIN in-addr.arpa.", "$ORIGIN ip6.arpa."]
    assert f"{NAME}. 5 IN A 10.244.0.7" in lines
    assert "; pod.cluster.local. exists without records" in lines
    ended = run("dump", "ip6.arpa", "CLUSTER.local.", "--manifests", "objects", cwd=folder)
    lines = ended.stdout.decode().splitlines()
    assert [line for line in lines if line.startswith("$ORIGIN")] == ["$ORIGIN ip6.arpa.", "$ORIGIN cluster.local."]


def test_corefile(folder: Path) -> None:
    """`-conf`, zones on both sides of it; without it the Corefile of the working directory."""
    for arguments in ((), ("cluster.local", "-conf", "Corefile", "cluster.local")):
        ended = run("dump", *arguments, cwd=folder)
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert f"{NAME}. 5 IN A 10.244.0.7\n" in ended.stdout.decode()


def test_flags_before_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """What follows `dump` is its own, so it comes first."""
    with pytest.raises(SystemExit) as ended:
        main(["-conf", "Corefile", "dump"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "dnsserver: dump comes before its flags (see dnsserver --help)\n"


def test_output_that_fails(tmp_path: Path) -> None:
    """A full disk is an error, and no traceback at the end."""
    write_objects(tmp_path / "objects")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            (sys.executable, "-m", "dnsserver", "dump", "--manifests", "objects"),
            check=False, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, timeout=30, env=environment,
        )  # fmt: skip  # one argument a line says no more
    assert ended.returncode == 1
    assert ended.stderr == b"dnsserver: cannot write the zones: No space left on device\n"


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """It says what checkers want."""
    with pytest.raises(SystemExit) as ended:
        main(["dump", "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for word in ("-conf", "--manifests", "--zone", "-o", "--timeout", "kzonecheck", "named-checkzone", "dig axfr"):
        assert word in text
