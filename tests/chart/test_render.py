"""What helm makes of values: valid manifests, or an error that says what to mend."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dnsserver.corefile import parse
from tests.chart.helm import (
    BINARIES,
    CHART,
    CI,
    JSON,
    NAMESPACE,
    RELEASE,
    WITH_COREFILE,
    HelmError,
    Values,
    container,
    corefile,
    find,
    helm,
    kinds,
    pod,
    render,
)

VALIDATE = BINARIES / "kubernetes-validate"
NAME = f"{RELEASE}-dnsserver"


def test_lint() -> None:
    """Not a warning."""
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


@pytest.mark.skipif(not VALIDATE.exists(), reason="no kubernetes-validate: `make tools` fetches it")
@pytest.mark.parametrize("version", ["1.31", "1.34", "1.37"])
def test_manifests_are_valid(version: str, tmp_path: Path) -> None:
    """By the API's own schemas, a misspelt field being an error; the Prometheus operator's kinds have none there."""
    paths = []
    for values in [None, *CI]:
        path = tmp_path / f"{values.stem if values else 'default'}.yaml"
        path.write_text(yaml.safe_dump_all(render(values)))
        paths.append(str(path))
    ended = subprocess.run(
        (str(VALIDATE), "--strict", "-k", version, *paths), check=False, capture_output=True, text=True
    )
    lines = (ended.stdout + ended.stderr).splitlines()
    wrong = [line for line in lines if not line.startswith("INFO") and "monitoring.coreos.com" not in line]
    assert (ended.returncode, wrong) == (0, [])
    assert sum(line.startswith("INFO") for line in lines) > 80  # each object is named


@pytest.mark.parametrize("values", [None, *CI], ids=lambda one: one.stem if one else "default")
def test_every_object_is_ours(values: Path | None) -> None:
    """Named after the release, in its namespace, labelled, and none of them twice."""
    objects = render(values)
    seen = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(set(seen)) == len(seen)
    for one in objects:
        name = one["metadata"]["name"]
        assert RELEASE in name or one["kind"] in ("Service", "ConfigMap"), name
        cluster_wide = one["kind"].startswith("ClusterRole")
        assert one["metadata"].get("namespace", NAMESPACE) == NAMESPACE
        assert cluster_wide == name.startswith(NAMESPACE)
        if not name.endswith("-extra"):
            assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == RELEASE


def test_common_labels_and_annotations_are_on_every_object() -> None:
    """Those of the operator and of `helm test` too."""
    on = {"enabled": True}
    monitors: list[JSON] = [
        {"serviceMonitor": on, "prometheusRule": on, "dashboard": on},
        {"podMonitor": on},
    ]
    for metrics in monitors:
        values = {"commonLabels": {"a": "b"}, "commonAnnotations": {"c": "d"}, "metrics": metrics, "networkPolicy": on}
        for one in render(values):
            assert one["metadata"]["labels"]["a"] == "b", one["kind"]
            assert one["metadata"]["annotations"]["c"] == "d", one["kind"]


@pytest.mark.parametrize("secret", ["tls", "vm.example.org-tls", f"{'a' * 200}.b"])
def test_volumes_of_secrets_have_names_that_the_api_takes(secret: str) -> None:
    """A Secret's name may have dots and 253 characters, a volume's may not."""
    objects = render({"extraSecrets": [{"name": secret, "mountPath": "/s"}]})
    (volume,) = [one for one in pod(objects)["spec"]["volumes"] if "secret" in one]
    assert volume["secret"]["secretName"] == secret
    assert re.fullmatch("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", volume["name"])
    assert volume["name"] in {one["name"] for one in container(objects)["volumeMounts"]}


@pytest.mark.parametrize("values", [None, *CI], ids=lambda one: one.stem if one else "default")
def test_what_refers_to_what(values: Path | None) -> None:
    """Services, budgets, policies and monitors select the pods; ports have names there; volumes are mounted."""
    objects = render(values)
    template = pod(objects)
    labels = template["metadata"]["labels"]
    ports = {port["name"]: port for port in template["spec"]["containers"][0]["ports"]}
    assert len(ports) == len(template["spec"]["containers"][0]["ports"])
    for one in objects:
        spec = one.get("spec", {})
        if one["metadata"]["name"].endswith("-autoscaler"):
            continue
        if one["kind"] == "Service":
            assert spec["selector"].items() <= labels.items()
            for port in spec["ports"]:
                assert ports[port["targetPort"]]["protocol"] == port["protocol"]
        if one["kind"] in ("PodDisruptionBudget", "Deployment", "DaemonSet", "PodMonitor"):
            assert spec["selector"]["matchLabels"].items() <= labels.items()
        if one["kind"] == "NetworkPolicy":
            assert spec["podSelector"]["matchLabels"].items() <= labels.items()
            allowed = {(port["port"], port["protocol"]) for rule in spec["ingress"] for port in rule["ports"]}
            assert {(port["containerPort"], port["protocol"]) for port in ports.values()} == allowed
        if one["kind"] == "ServiceMonitor":
            service = find(objects, "Service", "-metrics")
            assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    mounted = {mount["name"] for one in template["spec"]["containers"] for mount in one.get("volumeMounts", ())}
    assert mounted == {volume["name"] for volume in template["spec"]["volumes"]}


@pytest.mark.parametrize("values", [None, *WITH_COREFILE], ids=lambda one: one.stem if one else "default")
def test_ports_are_the_corefile_s(values: Path | None) -> None:
    """Whatever the Corefile listens at is a port of the container, over UDP and TCP, and nothing else is."""
    objects = render(values)
    ports = {(port["containerPort"], port["protocol"]) for port in container(objects)["ports"]}
    http = {"health": 8080, "ready": 8181, "prometheus": 9153, "inspect": 9154}
    expected = {(http[name], "TCP") for name in ("health", "ready", "prometheus")}
    arguments = container(objects)["args"]
    moved = int(arguments[arguments.index("-dns.port") + 1]) if "-dns.port" in arguments else 53
    for block in parse(corefile(objects)).blocks:
        for key in block.keys:
            port = key.port or moved
            expected |= {(port, "TCP")} | ({(port, "UDP")} if key.scheme == "dns" else set())
        if any(one.name == "inspect" for one in block.directives):
            expected.add((http["inspect"], "TCP"))
    assert ports == expected


WRONG = [  # values, what the error names
    ({"mod": "stubDomain"}, "mod"),
    ({"mode": "proxy"}, "mode"),
    ({"replicaCount": "two"}, "replicaCount"),
    ({"service": {"clusterIp": "10.96.0.53"}}, "clusterIp"),
    ({"service": {"port": 70000}}, "port"),
    ({"stubDomain": {"zones": []}}, "zones"),
    ({"stubDomain": {"zones": ["vm.example {"]}}, "zones"),
    ({"stubDomain": {"kubevirt": "off"}}, "kubevirt"),
    ({"stubDomain": {"ttl": 7200}}, "ttl"),
    ({"servers": [{"zones": [{"zone": "."}]}]}, "plugins"),
    ({"servers": [{"zones": [{"zone": ".", "scheme": "grpc://"}], "plugins": [{"name": "whoami"}]}]}, "scheme"),
    ({"servers": [{"zones": [{"zone": "."}], "plugins": [{"name": "who ami"}]}]}, "name"),
    ({"image": {"digest": "sha256:abc"}}, "digest"),
    ({"kind": "StatefulSet"}, "kind"),
    ({"dnsPolicy": "default"}, "dnsPolicy"),
    ({"dnsPolicy": "None"}, "dnsPolicy"),  # which the API takes only with a dnsConfig
    ({"extraSecrets": [{"name": "tls"}]}, "mountPath"),
    ({"livenessProbe": {"enabled": True, "path": "/"}}, "path"),
    ({"metrics": {"serviceMonitor": {"interval": "often"}}}, "interval"),
    ({"zoneFiles": [{"filename": "../x", "contents": ""}]}, "filename"),
    ({"service": {"name": "dns.example"}}, "name"),  # a Service's name is a label
    ({"service": {"name": "53"}}, "name"),  # and begins with a letter
    ({"fullnameOverride": "dns.example"}, "fullnameOverride"),
    ({"service": {"trafficDistribution": "preferClose"}}, "trafficDistribution"),
]


@pytest.mark.parametrize(("values", "named"), WRONG, ids=[str(values) for values, _ in WRONG])
def test_wrong_values(values: Values, named: str) -> None:
    """The schema refuses them, and the error says where."""
    with pytest.raises(HelmError) as error:
        render(values)
    assert "values don't meet the specifications of the schema" in str(error.value)
    assert named in str(error.value)


ON = {"enabled": True}
SERVERS = [{"zones": [{"zone": "."}], "plugins": [{"name": "whoami"}]}]
CONFLICTS = [  # values, what the error says
    ({"corefile": ". {\n whoami\n}", "servers": SERVERS}, "give one of servers, corefile and existingConfigMap"),
    ({"corefile": ". {\n whoami\n}", "existingConfigMap": "coredns"}, "give one of servers, corefile and existingCon"),
    ({"autoscaling": ON, "proportionalAutoscaler": ON}, "cannot both be enabled"),
    ({"kind": "DaemonSet", "autoscaling": ON}, "nothing for an autoscaler to do"),
    ({"kind": "DaemonSet", "proportionalAutoscaler": ON}, "nothing for an autoscaler to do"),
    ({"hostNetwork": True}, "cannot have port 53: set ports.dns"),
    ({"servers": SERVERS}, "the plugin ready, which the Corefile does not have"),
    ({"corefile": ". {\n ready\n}"}, "the plugin health, which the Corefile does not have"),
    ({"corefile": ". {\n ready\n health\n}", "inspect": ON}, "write inspect into yours"),
    ({"corefile": ". {\n ready\n health\n}", "events": ON}, "write events into yours"),
    ({"metrics": {"serviceMonitor": ON, "podMonitor": ON}}, "count everything twice"),
    ({"metrics": {"serviceMonitor": ON, "service": {"enabled": False}}}, "needs metrics.service.enabled"),
    ({"lameduck": 20}, "terminationGracePeriodSeconds must be more than lameduck and 10 s, 30"),
    ({"existingConfigMap": "coredns", "rollOnConfigChange": True}, "not for existingConfigMap"),
    ({"existingConfigMap": "coredns", "zoneFiles": [{"filename": "a", "contents": ""}]}, "not for existingConfigMap"),
    ({"rbac": {"create": False, "extraRules": [{"verbs": ["list"]}]}}, "rbac.extraRules needs rbac.create"),
    ({"networkPolicy": ON, "hostNetwork": True, "ports": {"dns": 1053}}, "does nothing for pods on the node's network"),
    ({"inspect": ON | {"port": 8181}}, "inspect.port and ports.ready are the same port"),
    ({"ports": {"dns": 9153}}, "the port dns-tcp (9153/TCP, 53/TCP of the Service) has the number or the name"),
    (
        {"ports": {"extra": [{"name": "ready", "containerPort": 1, "servicePort": 1, "protocol": "TCP"}]}},
        "the port ready (1/TCP, 1/TCP of the Service) has the number or the name of another one",
    ),
    (
        {"ports": {"extra": [{"name": "more", "containerPort": 5300, "servicePort": 53, "protocol": "UDP"}]}},
        "the port more (5300/UDP, 53/UDP of the Service) has the number or the name of another one",
    ),
    ({"podLabels": {"app.kubernetes.io/name": "x"}}, "pods are selected by it"),
    ({"commonLabels": {"app.kubernetes.io/instance": "x"}}, "pods are selected by it"),
    ({"stubDomain": {"zones": ["a.test"], "interfaces": ["a.test"]}}, "which is one of stubDomain.zones"),
    ({"autoscaling": ON | {"minReplicas": 7}}, "minReplicas is more than"),
    ({"proportionalAutoscaler": ON | {"min": 3, "max": 2}}, "proportionalAutoscaler.min is more than"),
    ({"service": {"loadBalancerSourceRanges": ["192.0.2.0/24"]}}, "need service.type LoadBalancer"),
    ({"service": {"externalTrafficPolicy": "Local"}}, "needs service.type LoadBalancer or NodePort"),
    ({"terminationGracePeriodSeconds": 15}, "terminationGracePeriodSeconds must be more than lameduck and 10 s, 15"),
]


@pytest.mark.parametrize(("values", "message"), CONFLICTS, ids=[message for _, message in CONFLICTS])
def test_values_that_cannot_go_together(values: Values, message: str) -> None:
    """Nothing is dropped silently."""
    with pytest.raises(HelmError) as error:
        render(values)
    assert message in str(error.value)


@pytest.mark.parametrize("what", ["serviceMonitor", "podMonitor", "prometheusRule"])
def test_without_the_prometheus_operator(what: str) -> None:
    """It says what is missing, and how to render all the same."""
    with pytest.raises(HelmError, match="install the Prometheus operator first"):
        render({"metrics": {what: ON}}, "--kube-version", "1.34")


def test_old_clusters_are_refused() -> None:
    """Before a manifest that they would not take reaches them."""
    with pytest.raises(HelmError, match="incompatible with Kubernetes"):
        render(None, "--kube-version", "1.30")


OPTIONS: list[tuple[JSON, Callable[[list[JSON]], object], object]] = [  # values, what to look at, what is there
    ({}, lambda found: container(found)["args"], ["-conf", "/etc/coredns/Corefile"]),
    ({}, lambda found: container(found)["image"], "dnsserver:0.1.0"),
    (
        {"image": {"registry": "r.example", "repository": "a/b", "tag": "2"}},
        lambda found: container(found)["image"],
        "r.example/a/b:2",
    ),
    (
        {"image": {"digest": f"sha256:{'0' * 64}"}},
        lambda found: container(found)["image"],
        f"dnsserver@sha256:{'0' * 64}",
    ),
    ({"ports": {"dns": 1053}}, lambda found: container(found)["args"][2:], ["-dns.port", "1053"]),
    ({"extraArgs": ["-quiet"]}, lambda found: container(found)["args"][2:], ["-quiet"]),
    ({"replicaCount": 5}, lambda found: find(found, "Deployment")["spec"]["replicas"], 5),
    ({"autoscaling": ON}, lambda found: find(found, "Deployment")["spec"].get("replicas"), None),
    ({"proportionalAutoscaler": ON}, lambda found: find(found, "Deployment", NAME)["spec"].get("replicas"), None),
    (
        {"autoscaling": ON},
        lambda found: find(found, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"],
        NAME,
    ),
    (
        {"proportionalAutoscaler": ON},
        lambda found: find(found, "Deployment", "-autoscaler")["spec"]["template"]["spec"]["containers"][0]["args"][2],
        f"--target=deployment/{NAME}",
    ),
    ({"kind": "DaemonSet"}, lambda found: find(found, "DaemonSet")["spec"]["updateStrategy"]["type"], "RollingUpdate"),
    ({"mode": "clusterDNS"}, lambda found: pod(found)["spec"]["priorityClassName"], "system-cluster-critical"),
    ({}, lambda found: pod(found)["spec"].get("priorityClassName"), None),
    ({"mode": "clusterDNS"}, lambda found: pod(found)["metadata"]["labels"]["k8s-app"], "kube-dns"),
    ({}, lambda found: pod(found)["metadata"]["labels"].get("k8s-app"), None),
    ({"mode": "clusterDNS"}, lambda found: find(found, "Service", NAME)["metadata"]["labels"]["k8s-app"], "kube-dns"),
    ({"service": {"name": "kube-dns"}}, lambda found: find(found, "Service", "kube-dns")["spec"]["type"], "ClusterIP"),
    ({"service": {"clusterIP": "::1"}}, lambda found: find(found, "Service", NAME)["spec"]["clusterIP"], "::1"),
    ({"service": {"enabled": False}}, lambda found: "query" in str(found), False),
    ({}, lambda found: "inspect" in str(found), False),
    ({"replicaCount": 1}, lambda found: "PodDisruptionBudget" in kinds(found), False),
    ({"kind": "DaemonSet"}, lambda found: "PodDisruptionBudget" in kinds(found), False),
    ({"podDisruptionBudget": {"enabled": False}}, lambda found: "PodDisruptionBudget" in kinds(found), False),
    ({"rollOnConfigChange": True}, lambda found: len(pod(found)["metadata"]["annotations"]["checksum/config"]), 64),
    ({}, lambda found: pod(found)["metadata"].get("annotations"), None),
    ({"tests": {"enabled": False}}, lambda found: "Pod" in kinds(found), False),
    ({"serviceAccount": {"create": False}}, lambda found: pod(found)["spec"]["serviceAccountName"], "default"),
    ({"serviceAccount": {"name": "a"}}, lambda found: pod(found)["spec"]["serviceAccountName"], "a"),
    (
        {"stubDomain": {"plugins": [{"name": "cache", "parameters": 2000000}, {"name": "x", "parameters": 0.5}]}},
        lambda found: "cache 2000000\n" in corefile(found) and "x 0.5\n" in corefile(found),
        True,
    ),
    ({"lameduck": 3}, lambda found: "lameduck 3s" in corefile(found), True),
    (
        {"service": {"externalIPs": ["192.0.2.1"]}},
        lambda found: find(found, "Service", NAME)["spec"]["externalIPs"],
        ["192.0.2.1"],
    ),
    (
        {"service": {"clusterIPs": ["10.96.0.53", "fd00::53"]}},
        lambda found: find(found, "Service", NAME)["spec"]["clusterIP"],
        "10.96.0.53",
    ),
    ({}, lambda found: find(found, "Service", NAME)["spec"].get("clusterIP"), None),
    ({}, lambda found: find(found, "Pod", "-test")["spec"]["tolerations"] == pod(found)["spec"]["tolerations"], True),
    (
        {"topologySpreadConstraints": [{"maxSkew": 2}]},
        lambda found: pod(found)["spec"]["topologySpreadConstraints"],
        [{"maxSkew": 2}],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "look", "expected"), OPTIONS, ids=[f"{number}-{values}" for number, (values, *_) in enumerate(OPTIONS)]
)
def test_options(values: JSON, look: Callable[[list[JSON]], object], expected: object) -> None:
    """Each has its effect, and none without it."""
    assert look(render(values)) == expected


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ({}, NAME),
        ({"name": "dns"}, "dns"),
        ({"enabled": False}, NAME),
        ({"type": "LoadBalancer"}, f"{NAME}-inspect"),
        ({"type": "LoadBalancer", "name": "kube-dns"}, NAME),
        ({"type": "NodePort"}, f"{NAME}-inspect"),
        ({"externalIPs": ["192.0.2.1"]}, f"{NAME}-inspect"),
    ],
)
def test_inspect_is_for_the_cluster_alone(service: JSON, name: str) -> None:
    """Its port is on a Service that nobody outside reaches, named after the release if that can be."""
    objects = render({"inspect": ON, "service": service})
    (found,) = [one for one in objects if one["kind"] == "Service" and "inspect" in str(one["spec"]["ports"])]
    assert found["metadata"]["name"] == name
    assert found["spec"]["type"] == "ClusterIP"
    assert "externalIPs" not in found["spec"]
    assert f"host {name} {name}.{NAMESPACE} " in corefile(objects)


def test_a_new_corefile_rolls_pods_where_that_is_wanted() -> None:
    """The checksum follows the Corefile and the zone files."""
    sums = {
        pod(render({"rollOnConfigChange": True, **more}))["metadata"]["annotations"]["checksum/config"]
        for more in ({}, {"lameduck": 3}, {"zoneFiles": [{"filename": "a.db", "contents": "x"}]})
    }
    assert len(sums) == 3


PAGE = (CHART.parents[1] / "docs" / "install.md").read_text().replace("\\\n", " ")
INSTALLS = re.findall(r"^helm install (dnsserver charts/dnsserver .*)$", PAGE, re.MULTILINE)


def test_there_are_commands_to_try() -> None:
    assert len(INSTALLS) == 4


@pytest.mark.parametrize("words", INSTALLS)
def test_commands_of_the_page(words: str) -> None:
    """Each renders; so does what it says of a new cluster."""
    arguments = shlex.split(words.replace("charts/dnsserver", str(CHART)))
    assert "image: registry.example.org/dnsserver:" in helm("template", *arguments)


def test_openshift_s_users() -> None:
    """Values that are null leave a field out."""
    context = pod(render({"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}))["spec"]
    assert set(context["securityContext"]) == {"runAsNonRoot", "seccompProfile", "sysctls"}
