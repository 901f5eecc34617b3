"""`interfaces` of `kubernetes`: what it may say, and where it is refused."""

from pathlib import Path

import pytest

from dnsserver import corefile
from dnsserver.derive.apex import NameServer
from dnsserver.names import from_text, to_text
from dnsserver.objects import Further
from dnsserver.plugins.kubernetes import Config, Kubernetes, parse
from dnsserver.plugins.plugin import Context
from dnsserver.store.config import InterfacesConfig
from tests.build import packed

BLOCK = ("cluster.local", "example.org", "vm", "in-addr.arpa")
ZONES = "cluster.local 10.in-addr.arpa"
VM = from_text("vm.example.org")


def parsed(text: str, zones: str = ZONES) -> Config:
    """Return the configuration of the plugin with these options, which begin on line 3."""
    (block,) = corefile.parse(f". {{\nkubernetes {zones} {{\n{text}\n}}\n}}\n").blocks
    context = Context(zones=tuple(map(from_text, BLOCK)), folder=Path("/etc/dns"), port=53)
    (plugin,) = parse(block.directives, context)
    assert isinstance(plugin, Kubernetes)
    return plugin.config


def block_of(*lines: str) -> str:
    """Return the option with a block."""
    return "interfaces vm.example.org {\n" + "\n".join(lines) + "\n}"


GOOD: list[tuple[str, InterfacesConfig]] = [
    ("interfaces vm.example.org", InterfacesConfig((VM,))),
    ("interfaces VM.Example.org.", InterfacesConfig((VM,))),
    ("interfaces vm vm.example.org", InterfacesConfig((from_text("vm"), VM))),
    ("interfaces vm.cluster.local", InterfacesConfig((from_text("vm.cluster.local"),))),
    ("interfaces example.org", InterfacesConfig((from_text("example.org"),))),
    ("interfaces vm.example.org {\n}", InterfacesConfig((VM,))),
    ("ttl 30\ninterfaces vm.example.org", InterfacesConfig((VM,), ttl=30)),
    ("interfaces vm.example.org\nttl 30", InterfacesConfig((VM,), ttl=30)),
    (block_of("ttl 60"), InterfacesConfig((VM,), ttl=60)),
    ("ttl 30\n" + block_of("ttl 0"), InterfacesConfig((VM,), ttl=0)),
    (
        block_of("nameserver ns.vm.example.org"),
        InterfacesConfig((VM,), servers=(NameServer(from_text("ns.vm.example.org")),)),
    ),
    (
        block_of("nameserver NS1.vm.example.org 192.0.2.53 2001:db8::53", "nameserver ns.example.com."),
        InterfacesConfig(
            (VM,),
            servers=(
                NameServer(from_text("ns1.vm.example.org"), (packed("192.0.2.53"), packed("2001:db8::53"))),
                NameServer(from_text("ns.example.com")),
            ),
        ),
    ),
    (
        block_of("networks blue", "networks other/vlan-100 Net_2"),
        InterfacesConfig((VM,), further=Further(frozenset({"blue", "other/vlan-100", "Net_2"}))),
    ),
    (block_of("guest_agent off"), InterfacesConfig((VM,), further=Further(guest_agent=False))),
    (block_of("guest_agent on"), InterfacesConfig((VM,))),
    (
        block_of("guest_agent off", "networks blue"),
        InterfacesConfig((VM,), further=Further(frozenset({"blue"}), guest_agent=False)),
    ),
    ("kubevirt only\ninterfaces vm", InterfacesConfig((from_text("vm"),))),
]


@pytest.mark.parametrize(("text", "expected"), GOOD)
def test_good_values(text: str, expected: InterfacesConfig) -> None:
    """What the store is told, and which zones are the plugin's."""
    config = parsed(text)
    assert config.store(()).interfaces == expected
    assert set(expected.zones) <= set(config.origins)
    assert not set(expected.zones) & {*config.zones, *config.reverse_zones, *config.multicluster}


def test_without() -> None:
    """There are no such zones, and sources keep nothing for them."""
    config = parsed("")
    assert (config.interfaces, config.store(()).interfaces, config.interface_zones) == (None, None, ())
    assert config.longest_ttl == config.ttl


def test_zones_of_the_server_block() -> None:
    """They are the plugin's where it names none, but for those of interfaces."""
    config = parsed("interfaces vm example.org", zones="")
    assert [to_text(one) for one in config.zones] == ["cluster.local."]
    assert [to_text(one) for one in config.interface_zones] == ["vm.", "example.org."]
    with pytest.raises(corefile.CorefileError, match=r":3 - .* interfaces: no zone of Services is left, expecting"):
        parsed("interfaces vm example.org cluster.local", zones="")


def test_longest_ttl() -> None:
    """Answers that are ready may have either."""
    assert parsed("ttl 30\ninterfaces vm").longest_ttl == 30
    assert parsed(block_of("ttl 60")).longest_ttl == 60
    assert parsed("ttl 90\n" + block_of("ttl 60")).longest_ttl == 90


def test_zones_of_another_store() -> None:
    """Those of ServiceImports may be below one of these, and are theirs."""
    config = parsed("interfaces example.org\nmulticluster b.example.org", "cluster.local b.example.org")
    interfaces = config.store(()).interfaces
    assert interfaces is not None
    assert interfaces.apart == (from_text("b.example.org"),)
    assert interfaces.zones == (from_text("example.org"),)


USAGE = "ttl SECONDS or nameserver NAME [ADDRESS...] or networks NAME... or guest_agent on|off"
NO_ZONE = "is no zone of names, expecting one such as vm.example.org"
BAD = [  # options, line, what the error says
    (
        "interfaces",
        3,
        "Wrong argument count or unexpected line ending after 'interfaces', expecting interfaces ZONE...",
    ),
    ("interfaces .", 3, f"interfaces: '.' {NO_ZONE}"),
    ("interfaces 10.0.0.0/8", 3, f"interfaces: '10.0.0.0/8' {NO_ZONE}"),
    ("interfaces in-addr.arpa", 3, f"interfaces: 'in-addr.arpa' {NO_ZONE}"),
    ("interfaces a..b", 3, f"interfaces: 'a..b' {NO_ZONE}"),
    (
        "interfaces " + ".".join(["z" * 61] * 4) + ".vm",
        3,
        "interfaces: below '" + ".".join(["z" * 61] * 4) + ".vm' there is no room for names",
    ),
    (
        "interfaces vm.example.com",
        3,
        "interfaces: no question for vm.example.com. gets here, expecting it at or below a zone of the server block: "
        "cluster.local., example.org., vm., in-addr.arpa.",
    ),
    ("interfaces vm vm", 3, "interfaces: vm. and vm. would hide each other"),
    ("interfaces example.org vm.example.org", 3, "interfaces: vm.example.org. and example.org. would hide each other"),
    ("interfaces cluster.local", 3, "interfaces: cluster.local. has the names of Services already"),
    (
        "interfaces svc.cluster.local",
        3,
        "interfaces: svc.cluster.local. would hide names of cluster.local., "
        "expecting a zone that is not at or below svc.cluster.local.",
    ),
    (
        "ttl 5\ninterfaces a.b.pod.cluster.local",
        4,
        "interfaces: a.b.pod.cluster.local. would hide names of cluster.local., "
        "expecting a zone that is not at or below pod.cluster.local.",
    ),
    (
        "interfaces dns.cluster.local",
        3,
        "interfaces: dns.cluster.local. would hide names of cluster.local., "
        "expecting a zone that is not at or below dns.cluster.local.",
    ),
    ("interfaces vm\nttl 5\ninterfaces vm.example.org", 5, "interfaces can only be used once, with all its zones"),
    ("interfaces vm\nkubevirt off", 3, "interfaces are of VMIs, which 'kubevirt off' does not look at"),
    ("kubevirt off\ninterfaces vm", 4, "interfaces are of VMIs, which 'kubevirt off' does not look at"),
    (block_of("network blue"), 4, f"unknown property 'network', expecting {USAGE}"),
    (block_of("ttl 5 {", "a", "}"), 4, "'ttl' takes no block"),
    (block_of("ttl"), 4, "Wrong argument count or unexpected line ending after 'ttl', expecting ttl SECONDS"),
    (block_of("ttl 5 6"), 4, "Wrong argument count or unexpected line ending after '6', expecting ttl SECONDS"),
    (block_of("ttl 3601"), 4, "ttl must be in range [0, 3600]: 3601"),
    (
        block_of("nameserver"),
        4,
        "Wrong argument count or unexpected line ending after 'nameserver', expecting nameserver NAME [ADDRESS...]",
    ),
    (
        block_of("nameserver 192.0.2.53"),
        4,
        "nameserver: '192.0.2.53' is no host name, expecting nameserver NAME [ADDRESS...]",
    ),
    (block_of("nameserver ."), 4, "nameserver: '.' is no host name, expecting nameserver NAME [ADDRESS...]"),
    (
        block_of("nameserver a..b"),
        4,
        "nameserver: a label has 1 to 63 octets, not 0",
    ),
    (
        block_of("nameserver ns.vm.example.org 192.0.2.300"),
        4,
        "nameserver: '192.0.2.300' is not an IP address",
    ),
    (
        block_of("ttl 5", "nameserver ns.example.com 192.0.2.53"),
        5,
        "nameserver: ns.example.com. is in no zone of interfaces, which so cannot hold addresses",
    ),
    (
        block_of("nameserver vm.example.org 192.0.2.53"),
        4,
        "nameserver: vm.example.org. could be a VMI's name, expecting one label below vm.example.org.",
    ),
    (
        block_of("nameserver a.ns.vm.example.org 192.0.2.53"),
        4,
        "nameserver: a.ns.vm.example.org. could be a VMI's name, expecting one label below vm.example.org.",
    ),
    (
        block_of("nameserver ns.vm.example.org", "nameserver NS.vm.example.org"),
        5,
        "nameserver: ns.vm.example.org. is named twice",
    ),
    (
        block_of("networks"),
        4,
        "Wrong argument count or unexpected line ending after 'networks', expecting networks NAME...",
    ),
    *(
        (
            block_of(f"networks blue {name}"),
            4,
            f"networks: '{name}' is not the name of a network in spec.networks, or NAMESPACE/NAME of its "
            "NetworkAttachmentDefinition",
        )
        for name in ("a.b", "a/", "/a", "a/b/c", "*", "A/b")
    ),
    (
        block_of("guest_agent"),
        4,
        "Wrong argument count or unexpected line ending after 'guest_agent', expecting guest_agent on|off",
    ),
    (block_of("guest_agent yes"), 4, "guest_agent is on or off, not 'yes'"),
]


@pytest.mark.parametrize(("text", "line", "message"), BAD)
def test_errors(text: str, line: int, message: str) -> None:
    """Each says what is wrong and what was expected, at its line."""
    with pytest.raises(corefile.CorefileError) as caught:
        parsed(text)
    assert str(caught.value) == f"plugin/kubernetes: Corefile:{line} - Error during parsing: {message}"


def test_zones_of_imports_are_not_hidden() -> None:
    """Nor can a zone be both."""
    for zone, message in (
        ("b.example.org", "interfaces: b.example.org. has the names of Services already"),
        ("x.svc.b.example.org", "interfaces: x.svc.b.example.org. would hide names of b.example.org."),
    ):
        for lines in (
            f"interfaces {zone}\nmulticluster b.example.org",
            f"multicluster b.example.org\ninterfaces {zone}",
        ):
            with pytest.raises(corefile.CorefileError) as caught:
                parsed(lines, "cluster.local b.example.org")
            assert message in str(caught.value)
