"""What the manifests say of limits, privileges, networks, updates and probes; docs/reliability.md has the rows."""

import re
from pathlib import Path

import pytest

from dnsserver.corefile import Property, parse
from tests.chart.helm import CI, JSON, WITH_COREFILE, container, corefile, find, kinds, pod, render
from tests.image.dockerfile import stages

ON = {"enabled": True}
EVERY: list[Path | None] = [None, *CI]


def name_of(values: Path | None) -> str:
    """Return what a test is called after."""
    return values.stem if values else "default"


def pods(objects: list[JSON]) -> list[JSON]:
    """Return every pod that the chart makes: the server's, an autoscaler's, that of `helm test`."""
    found = [one["spec"]["template"]["spec"] for one in objects if one["kind"] in ("Deployment", "DaemonSet")]
    return found + [one["spec"] for one in objects if one["kind"] == "Pod"]


@pytest.mark.parametrize("values", EVERY, ids=name_of)
def test_e1_pod_security_restricted(values: Path | None) -> None:
    """Every control of the standard's `restricted` profile, for every pod; and the root file system is read-only."""
    safe = {"net.ipv4.ip_unprivileged_port_start"}  # of the sysctls that the profile lets be
    for spec in pods(render(values)):
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {one["name"] for one in context.get("sysctls", ())} <= safe
        assert not {"hostPID", "hostIPC"} & set(spec)
        assert {next(iter(set(volume) - {"name"})) for volume in spec.get("volumes", ())} <= {
            "configMap",
            "secret",
            "emptyDir",
        }
        for one in spec["containers"]:
            if one["name"] == "sidecar":  # one of the user's
                continue
            inner = one["securityContext"]
            assert inner["allowPrivilegeEscalation"] is False
            assert inner["privileged"] is False
            assert inner["readOnlyRootFilesystem"] is True
            assert inner["capabilities"] == {"drop": ["ALL"]}
            assert "hostPort" not in str(one.get("ports", ""))


def test_e1_the_user_is_the_image_s() -> None:
    """And port 53 needs no capability: the pod's own network lets that user have it. Not so on the node's network."""
    (user,) = [step.text for step in stages()[1] if step.instruction == "USER"]
    context = pod(render())["spec"]["securityContext"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
    assert context["sysctls"] == [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "53"}]
    on_the_node = render({"hostNetwork": True, "ports": {"dns": 1053}})
    assert pod(on_the_node)["spec"]["hostNetwork"] is True
    assert "sysctls" not in pod(on_the_node)["spec"]["securityContext"]


@pytest.mark.parametrize("values", EVERY, ids=name_of)
def test_e2_requests_and_limits(values: Path | None) -> None:
    """Memory is asked for and limited; the processor is only asked for: a limit would throttle bursts."""
    for spec in pods(render(values)):
        for one in spec["containers"]:
            if one["name"] != "sidecar":
                assert set(one["resources"]["requests"]) == {"cpu", "memory"}
                assert set(one["resources"]["limits"]) == {"memory"}


def test_e3_who_may_reach_it_and_whom_it_reaches() -> None:
    """With `networkPolicy`: questions from anywhere or from whom one says, and out to the API server alone."""
    values = {
        "networkPolicy": {
            "enabled": True,
            "dnsFrom": [{"podSelector": {}}],
            "metricsFrom": [{"namespaceSelector": {}}],
            "inspectFrom": [{"podSelector": {"matchLabels": {"a": "b"}}}],
            "apiServerCidrs": ["192.0.2.1/32"],
        },
        "inspect": ON,
    }
    spec = find(render(values), "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    who = {port["port"]: rule.get("from") for rule in spec["ingress"] for port in rule["ports"]}
    assert who == {
        53: [{"podSelector": {}}],
        8080: None,  # the kubelet, whose address no policy can name
        8181: None,
        9153: [{"namespaceSelector": {}}],
        9154: [{"podSelector": {"matchLabels": {"a": "b"}}}],
    }
    assert spec["egress"] == [
        {
            "ports": [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}],
            "to": [{"ipBlock": {"cidr": "192.0.2.1/32"}}],
        }
    ]
    forwarding = find(render({"mode": "clusterDNS", "networkPolicy": ON}), "NetworkPolicy")["spec"]["egress"]
    assert {port["port"] for rule in forwarding for port in rule["ports"]} == {443, 6443, 53}
    notifying = {"plugins": [{"name": "transfer", "configBlock": "to 192.0.2.1"}]}
    told = find(render({"stubDomain": notifying, "networkPolicy": ON}), "NetworkPolicy")["spec"]["egress"]
    assert {port["port"] for rule in told for port in rule["ports"]} == {443, 6443, 53}
    assert "NetworkPolicy" not in kinds(render())


@pytest.mark.parametrize("mode", ["stubDomain", "clusterDNS"])
def test_e3_it_does_not_ask_itself(mode: str) -> None:
    """The pod's own resolver is the node's, never the cluster's DNS, which asks this server."""
    assert pod(render({"mode": mode}))["spec"]["dnsPolicy"] == "Default"


def test_l5_replicas_are_replaced_one_by_one() -> None:
    """None ends before its successor is ready and has been for a while; a node that is drained takes one at a time."""
    objects = render()
    spec = find(objects, "Deployment")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert spec["minReadySeconds"] > 0
    budget = find(objects, "PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    on_the_node = find(render({"hostNetwork": True, "ports": {"dns": 1053}}), "Deployment")["spec"]["strategy"]
    assert on_the_node["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}  # their ports have to be free first
    daemons = find(render({"kind": "DaemonSet"}), "DaemonSet")["spec"]
    assert daemons["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}


def test_l5_replicas_are_spread() -> None:
    """Over zones, and over hosts; where that cannot be, they start all the same."""
    constraints = pod(render())["spec"]["topologySpreadConstraints"]
    assert [one["topologyKey"] for one in constraints] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert {one["whenUnsatisfiable"] for one in constraints} == {"ScheduleAnyway"}


@pytest.mark.parametrize("values", [None, *WITH_COREFILE], ids=name_of)
def test_l5_there_is_time_for_the_lame_duck(values: Path | None) -> None:
    """SIGKILL comes later than the lame duck, and the 10 s that may follow it; both are read from the manifests."""
    objects = render(values)
    grace = pod(objects)["spec"]["terminationGracePeriodSeconds"]
    (health,) = [one for block in parse(corefile(objects)).blocks for one in block.directives if one.name == "health"]
    (lameduck,) = health.properties
    assert isinstance(lameduck, Property)
    (seconds,) = re.findall(r"^(\d+)s$", lameduck.args[0])
    assert int(seconds) >= 5  # a readiness probe fails in the meantime, and endpoints follow
    assert int(seconds) + 10 < grace


@pytest.mark.parametrize("values", [None, *WITH_COREFILE], ids=name_of)
def test_l2_probes_ask_what_the_corefile_answers(values: Path | None) -> None:
    """Start-up and readiness `/ready`, liveness `/health`, at the ports where these plugins listen, and patiently."""
    objects = render(values)
    directives = [one for block in parse(corefile(objects)).blocks for one in block.directives]
    listens = {one.name: int(one.args[0].rpartition(":")[2]) if one.args else None for one in directives
               if one.name in ("health", "ready")}  # fmt: skip
    default = {"health": 8080, "ready": 8181}
    ports = {port["name"]: port["containerPort"] for port in container(objects)["ports"]}
    for probe, plugin in (("startupProbe", "ready"), ("readinessProbe", "ready"), ("livenessProbe", "health")):
        spec = container(objects)[probe]
        assert spec["httpGet"] == {"path": f"/{plugin}", "port": plugin}
        assert ports[plugin] == (listens[plugin] or default[plugin])
    start, live = container(objects)["startupProbe"], container(objects)["livenessProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 300  # a first list of a large cluster
    assert live["periodSeconds"] * live["failureThreshold"] >= 30  # what no stall of the event loop is


def test_moved_ports_move_everywhere() -> None:
    """In the Corefile, the container and the probes."""
    objects = render(
        {"ports": {"health": 18080, "ready": 18181, "metrics": 19153}, "inspect": {"enabled": True, "port": 1}}
    )
    directives = {one.name: one.args for block in parse(corefile(objects)).blocks for one in block.directives}
    assert [directives[one] for one in ("health", "ready", "prometheus", "inspect")] == [
        (":18080",),
        (":18181",),
        (":19153",),
        (":1",),
    ]
    ports = {port["name"]: port["containerPort"] for port in container(objects)["ports"]}
    assert {name: ports[name] for name in ("health", "ready", "metrics", "inspect")} == {
        "health": 18080,
        "ready": 18181,
        "metrics": 19153,
        "inspect": 1,
    }
