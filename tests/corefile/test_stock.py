"""Corefiles as distributions ship them."""

from tests.corefile.sources import line, parsed, shapes

KUBEADM = """
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
    loop
    reload
    loadbalance
}
"""

KUBERNETES = line(
    "kubernetes",
    "cluster.local",
    "in-addr.arpa",
    "ip6.arpa",
    block=(line("pods", "insecure"), line("fallthrough", "in-addr.arpa", "ip6.arpa"), line("ttl", "30")),
)

K3S = """
.:53 {
    errors
    health
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods insecure
      fallthrough in-addr.arpa ip6.arpa
      ttl 30
    }
    hosts /etc/coredns/NodeHosts {
      ttl 60
      reload 15s
      fallthrough
    }
    prometheus :9153
    cache 30
    loop
    reload
    loadbalance
    import /etc/coredns/custom/*.override
    forward . /etc/resolv.conf
}
import /etc/coredns/custom/*.server
"""


def test_kubeadm() -> None:
    """kubeadm's Corefile, unchanged."""
    corefile = parsed(KUBEADM)
    assert corefile.warnings == ()
    assert shapes(corefile) == [
        (
            (".",),
            (
                line("errors"),
                line("health", block=(line("lameduck", "5s"),)),
                line("ready"),
                KUBERNETES,
                line("prometheus", ":9153"),
                line("forward", ".", "/etc/resolv.conf", block=(line("max_concurrent", "1000"),)),
                line("cache", "30"),
                line("loop"),
                line("reload"),
                line("loadbalance"),
            ),
        )
    ]
    (key,) = corefile.blocks[0].keys
    assert (key.scheme, key.zone, key.port) == ("dns", ".", 53)


def test_k3s_without_customisation() -> None:
    """k3s's Corefile before anyone made its custom ConfigMap: two warnings, and nothing else."""
    corefile = parsed(K3S, file="/etc/coredns/Corefile")
    assert corefile.warnings == (
        "No files matching import glob pattern: /etc/coredns/custom/*.override",
        "No files matching import glob pattern: /etc/coredns/custom/*.server",
    )
    (block,) = corefile.blocks
    (hosts,) = block.find("hosts")
    assert shapes(corefile)[0][1][3] == KUBERNETES
    assert hosts.args == ("/etc/coredns/NodeHosts",)
    assert [(each.name, each.args) for each in hosts.properties] == [
        ("ttl", ("60",)),
        ("reload", ("15s",)),
        ("fallthrough", ()),
    ]
    assert [each.name for each in block.directives][-2:] == ["loadbalance", "forward"]


def test_k3s_with_customisation() -> None:
    """Overrides land inside the stock block, servers beside it."""
    content = {
        "/etc/coredns/custom/log.override": "log",
        "/etc/coredns/custom/vm.server": "vm.example:53 {\n errors\n forward . 10.96.0.53\n}\n",
        "/etc/coredns/custom/other.txt": "}",
    }
    corefile = parsed(K3S, content, file="/etc/coredns/Corefile")
    stock, vm = corefile.blocks
    assert corefile.warnings == ()
    assert [each.name for each in stock.directives][-3:] == ["loadbalance", "log", "forward"]
    assert vm.zones == ("vm.example.",)
    assert (vm.file, vm.line) == ("/etc/coredns/custom/vm.server", 1)
