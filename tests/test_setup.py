"""From a Corefile's text to server blocks, the places they listen at, and the lines at start."""

from pathlib import Path

import pytest

from dnsserver.corefile import CorefileError, fingerprint, parse
from dnsserver.names import to_text
from dnsserver.setup import ListenAddress, Setup, Source, set_up
from dnsserver.transports import TcpLimits

CERTIFICATES = Path(__file__).parent / "certificates"
SERVER, SERVER2 = (f"{CERTIFICATES / name}.pem {CERTIFICATES / name}.key" for name in ("server", "server2"))


def setup_of(text: str, *, port: int = 53, folder: Path = Path()) -> Setup:
    """Set a Corefile up."""
    return set_up(parse(text), folder=folder, port=port)


def listening(setup: Setup) -> dict[str, list[list[str]]]:
    """Return, by server label, the zones of each block there."""
    return {
        place.server: [[to_text(zone) for zone in block.zones] for block in blocks]
        for place, blocks in setup.listeners.items()
    }


LISTENERS = [  # Corefile, port, what listens, banner
    (". {\n}", 53, {"dns://:53": [["."]]}, [".:53"]),
    (". {\n}", 1053, {"dns://:1053": [["."]]}, [".:1053"]),
    ("dns://a.test:5300 {\n}", 1053, {"dns://:5300": [["a.test."]]}, ["a.test.:5300"]),
    ("a.test:0 {\n}", 1053, {"dns://:0": [["a.test."]]}, ["a.test.:0"]),
    ("a.test B.test {\n}", 53, {"dns://:53": [["a.test.", "b.test."]]}, ["a.test.:53", "b.test.:53"]),
    ("a.test {\n}\nb.test {\n}", 53, {"dns://:53": [["a.test."], ["b.test."]]}, ["a.test.:53", "b.test.:53"]),
    (
        "a.test:53 a.test:54 b.test:54 {\n}",
        53,
        {"dns://:53": [["a.test."]], "dns://:54": [["a.test.", "b.test."]]},
        ["a.test.:53", "a.test.:54", "b.test.:54"],
    ),
    (
        "a.test {\nbind 127.0.0.1 ::1\n}",
        53,
        {"dns://127.0.0.1:53": [["a.test."]], "dns://[::1]:53": [["a.test."]]},
        ["a.test.:53 on 127.0.0.1", "a.test.:53 on ::1"],
    ),
    (
        "a.test {\nbind 127.0.0.1\nbind 127.0.0.2 127.0.0.1\n}",
        53,
        {"dns://127.0.0.1:53": [["a.test."]], "dns://127.0.0.2:53": [["a.test."]]},
        ["a.test.:53 on 127.0.0.1", "a.test.:53 on 127.0.0.2"],
    ),
    (
        "a.test {\nbind 127.0.0.1\n}\na.test {\nbind 127.0.0.2\n}",
        53,
        {"dns://127.0.0.1:53": [["a.test."]], "dns://127.0.0.2:53": [["a.test."]]},
        ["a.test.:53 on 127.0.0.1", "a.test.:53 on 127.0.0.2"],
    ),
    (
        f"tls://a.test b.test tls://c.test:8853 {{\n tls {SERVER}\n}}",
        1053,
        {"tls://:853": [["a.test."]], "dns://:1053": [["b.test."]], "tls://:8853": [["c.test."]]},
        ["tls://a.test.:853", "b.test.:1053", "tls://c.test.:8853"],
    ),
    (
        f"tls://a.test {{\n tls {SERVER}\n bind ::1\n}}",
        53,
        {"tls://[::1]:853": [["a.test."]]},
        ["tls://a.test.:853 on ::1"],
    ),
    (
        "10.0.0.0/15 {\n}",
        53,
        {"dns://:53": [["0.10.in-addr.arpa.", "1.10.in-addr.arpa."]]},
        ["0.10.in-addr.arpa.:53", "1.10.in-addr.arpa.:53"],
    ),
]


@pytest.mark.parametrize(("text", "port", "expected", "banner"), LISTENERS)
def test_listeners(text: str, port: int, expected: dict[str, list[list[str]]], banner: list[str]) -> None:
    """Each zone is served where its key and `bind` say, and a line is printed for each."""
    setup = setup_of(text, port=port)
    assert listening(setup) == expected
    assert list(setup.banner) == banner
    assert len(setup.blocks) == sum(map(len, expected.values()))


REFUSED = [  # Corefile, error
    (". {\n nonsense\n}", "Corefile:2 - Error during parsing: Unknown directive 'nonsense'"),
    (". {\n errors\n}\na.test {\n\n nonsense\n}", "Corefile:6 - Error during parsing: Unknown directive 'nonsense'"),
    (
        "a.test {\n}\n\na.test {\n}",
        "Corefile:4 - Error during parsing: cannot serve dns://a.test.:53 - it is already defined at Corefile:1",
    ),
    (
        "a.test:53 A.TEST {\n}",
        "Corefile:1 - Error during parsing: cannot serve dns://a.test.:53 - it is already defined at Corefile:1",
    ),
    (
        "a.test {\n}\na.test {\n bind 127.0.0.1\n}",
        "Corefile:3 - Error during parsing: cannot serve dns://a.test.:53 on 127.0.0.1 - "
        "zone overlap listener capacity with dns://a.test.:53",
    ),
    (
        "a.test {\n bind 127.0.0.1\n}\na.test {\n bind 127.0.0.1\n}",
        "Corefile:4 - Error during parsing: cannot serve dns://a.test.:53 on 127.0.0.1 - "
        "it is already defined at Corefile:1",
    ),
    (
        ". {\n}\ntls://a.test {\n}",
        "Corefile:3 - Error during parsing: tls://a.test. has no certificate, expecting tls CERT KEY [CA] in its "
        "server block",
    ),
    (
        f". {{\n}}\ntls://a.test {{\n tls {SERVER}\n}}\ntls://b.test {{\n tls {SERVER2}\n}}",
        "plugin/tls: Corefile:6 - Error during parsing: tls differs from that of another server block at tls://:853, "
        "expecting the same",
    ),
    (
        f"a.test:853 {{\n}}\ntls://b.test {{\n tls {SERVER}\n}}",
        "Corefile:3 - Error during parsing: cannot serve tls://:853: dns://:853 is already there",
    ),
    (
        "https://a.test {\n}",
        "Corefile:1 - Error during parsing: scheme 'https' of a.test. is not supported, expecting dns or tls",
    ),
    (". {\n bind 300.0.0.1\n}", None),
    (". {\n errors\n errors x y\n}", None),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refused(text: str, message: str | None) -> None:
    """What cannot be done is refused with file and line."""
    with pytest.raises(CorefileError) as caught:
        setup_of(text)
    if message is not None:
        assert str(caught.value) == message
    assert caught.value.file == "Corefile"
    assert caught.value.line > 0


@pytest.mark.parametrize("scheme", ["https", "https3", "grpc", "quic"])
def test_schemes_without_a_listener(scheme: str) -> None:
    """Plain DNS where encryption was asked for would be worse than an error."""
    with pytest.raises(CorefileError, match=f"Corefile:2 - .*scheme '{scheme}' of a.test. is not supported"):
        setup_of(f"\n{scheme}://a.test {{\n}}")


def test_order_is_coredns_s() -> None:
    """The order in the file means nothing."""
    names = ["loadbalance", "log", "errors", "prometheus", "health", "ready", "bind 127.0.0.1"]
    written = "\n".join(names)
    backwards = "\n".join(reversed(names))
    expected = ["bind", "ready", "health", "prometheus", "errors", "log", "loadbalance"]
    for text in (written, backwards):
        (block,) = setup_of(f". {{\n{text}\n}}").blocks
        assert [plugin.name for plugin in block.plugins] == expected


def test_plugins_are_shared_by_the_places_of_a_block() -> None:
    """A block on two ports runs its plugins once."""
    first, second = setup_of("a.test:53 a.test:54 {\n errors\n}").blocks
    assert first.plugins[0] is second.plugins[0]
    assert len(set(setup_of("a.test:53 a.test:54 {\n errors\n}").plugins)) == 1


def test_zones_of_a_plugin_are_those_of_its_block(tmp_path: Path) -> None:
    """A plugin without zones of its own gets the block's, and relative paths start at the folder given."""
    (tmp_path / "objects").mkdir()
    text = "a.test 10.in-addr.arpa {\n kubernetes {\n manifests objects\n }\n}"
    (plugin,) = setup_of(text, folder=tmp_path).plugins
    config = plugin.config  # type: ignore[attr-defined]  # it is the kubernetes plugin
    assert [to_text(zone) for zone in (*config.zones, *config.reverse_zones)] == ["a.test.", "10.in-addr.arpa."]
    assert config.manifests == (tmp_path / "objects",)


def test_warnings_are_handed_on(tmp_path: Path) -> None:
    """What the parser warns of is the app's to log."""
    setup = setup_of(f". {{\n import {tmp_path}/*.none\n}}")
    assert len(setup.warnings) == 1


def test_empty_corefile() -> None:
    """Nothing to serve is for the command to refuse."""
    setup = setup_of("")
    assert (setup.blocks, setup.listeners, setup.banner, setup.plugins) == ((), {}, (), ())


@pytest.mark.parametrize(
    ("place", "label"),
    [
        (ListenAddress("dns", "", 53), "dns://:53"),
        (ListenAddress("dns", "10.0.0.1", 1053), "dns://10.0.0.1:1053"),
        (ListenAddress("dns", "::1", 53), "dns://[::1]:53"),
    ],
)
def test_server_label(place: ListenAddress, label: str) -> None:
    """Labels are CoreDNS's."""
    assert place.server == label


def test_terms() -> None:
    """Limits and certificates belong to an address, whichever block there says so; elsewhere are the usual ones."""
    setup = setup_of(
        f"a.test tls://a.test {{\n tls {SERVER}\n timeouts {{\n  idle 1m\n }}\n}}\n"
        "b.test c.test:54 {\n timeouts {\n  maxtcpqueries 9\n }\n}\nd.test:55 {\n}"
    )
    terms = {place.server: one for place, one in setup.terms.items()}
    assert {label: one.limits for label, one in terms.items()} == {
        "dns://:53": TcpLimits(idle=60, queries=9),
        "dns://:54": TcpLimits(queries=9),
        "tls://:853": TcpLimits(idle=60),
    }
    assert [label for label, one in terms.items() if one.ssl is not None] == ["tls://:853"]
    assert setup.warnings == ()


def test_limits_that_contradict() -> None:
    """As in CoreDNS the last block wins for all of its address, and here the operator is told."""
    blocks = [
        f"{zone} {{\n timeouts {{\n  idle {idle}\n  read 5s\n }}\n}}" for zone, idle in (("a", "1m"), ("b", "2m"))
    ]
    setup = setup_of("\n".join(blocks))
    ((_, terms),) = setup.terms.items()
    assert terms.limits == TcpLimits(idle=120, message=5)
    assert setup.warnings == ("Corefile:9 - plugin/timeouts: overrides Corefile:3 for all of dns://:53",)


def test_fingerprint() -> None:
    """A set-up knows what it was made of."""
    corefile = parse(". {\n errors\n}")
    assert set_up(corefile, folder=Path(), port=53).fingerprint == fingerprint(corefile)


def test_source() -> None:
    """The folder and the port of the command line count at every reload."""
    source = Source(lambda: parse("a.test {\n}"), Path(), 1053)
    assert list(source.set_up(source.read()).banner) == ["a.test.:1053"]


def test_with_plugins() -> None:
    """One plugin in place of another, wherever that was; everything else is as before."""
    setup = setup_of("a.test:53 a.test:54 {\n errors\n log\n}")
    (other,) = setup_of(". {\n errors\n}").plugins
    old = setup.plugins[0]
    changed = setup.with_plugins({old: other})
    assert [plugin.name for plugin in changed.plugins] == [plugin.name for plugin in setup.plugins]
    assert old not in changed.plugins
    assert [block for blocks in changed.listeners.values() for block in blocks] == list(changed.blocks)
    assert (changed.banner, changed.fingerprint) == (setup.banner, setup.fingerprint)


def test_a_certificate_for_nobody() -> None:
    """Plain DNS stays plain, and the operator is told."""
    assert setup_of(f"a.test {{\n\n tls {SERVER}\n}}").warnings == (
        "Corefile:3 - plugin/tls: no effect in a server block without a tls:// zone",
    )
    assert setup_of(f"a.test tls://a.test {{\n tls {SERVER}\n}}").warnings == ()
