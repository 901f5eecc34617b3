"""From a Corefile's text to server blocks, the places they listen at, and the lines at start."""

from pathlib import Path

import pytest

from dnsserver.corefile import CorefileError, parse
from dnsserver.names import to_text
from dnsserver.setup import ListenAddress, Setup, set_up


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
        "Corefile:3 - Error during parsing: scheme 'tls' of a.test. is not supported, expecting dns",
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


@pytest.mark.parametrize("scheme", ["tls", "https", "https3", "grpc", "quic"])
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
