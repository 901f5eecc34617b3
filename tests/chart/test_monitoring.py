"""Alerts and the dashboard name only what `/metrics` has: names, labels and values, read from a server that runs."""

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from dnsserver.app import App
from dnsserver.corefile import parse
from dnsserver.setup import Source
from dnsserver.transports import TransportStats
from tests.chart.helm import BINARIES, CHART, JSON, find, render
from tests.harness import Serving, get

PROMTOOL = BINARIES / "promtool"
ALERTS = (CHART / "files" / "alerts.yaml").read_text()
DASHBOARD: JSON = json.loads((CHART / "files" / "dashboard.json").read_text())
EXAMPLE = Path(__file__).parents[2] / "examples" / "manifests"
COREFILE = f"""
. {{
    bind 127.0.0.1
    errors
    health 127.0.0.1:0
    prometheus 127.0.0.1:0
    kubernetes cluster.local in-addr.arpa {{
        manifests {EXAMPLE}
    }}
    forward . 127.0.0.1:1
    cache 30
    reload
}}
"""
TARGET = {"namespace", "pod", "job", "instance"}  # Prometheus itself adds these to what it reads


def expressions() -> Iterator[str]:
    """Yield every query of the alerts and the dashboard."""
    for group in yaml.safe_load(ALERTS)["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]


async def metrics(folder: Path) -> dict[str, set[str]]:
    """Return the labels of every sample that `/metrics` has; a histogram or counter without samples has its names."""
    source = Source(lambda: parse(COREFILE), folder, 0)  # what `reload` follows
    app = App(source.set_up(source.read()), quiet=True, source=source)
    started = asyncio.Event()
    running = asyncio.create_task(app.run(started.set))
    async with asyncio.timeout(10):
        await started.wait()
    server = Serving(app, next(iter(app.bound.values())))
    await server.ask("myvmi.mysubdomain.default.svc.cluster.local")
    await server.ask("x.example.org")
    status, text = await get(server.http("127.0.0.1:0", "/metrics"))
    app.stop()
    assert (status, await running) == (200, 0)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        suffixes = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}.get(family.type, ("",))
        for suffix in suffixes:
            found.setdefault(family.name.removesuffix("_total") + suffix, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


async def test_every_metric_exists(tmp_path: Path) -> None:
    """And has the labels that are asked for; a source's own need an API server and are checked by name."""
    known = await metrics(tmp_path)
    for expression in expressions():
        for name, matchers in re.findall(r"\b((?:coredns|dnsserver|process|python|go)_\w+)(\{[^}]*\})?", expression):
            assert name in known, expression
            asked = set(re.findall(r"(\w+)\s*[=!]~?\s*\"", matchers))
            assert asked - TARGET <= known[name] or not known[name], expression
        grouped = {label.strip() for text in re.findall(r"by \(([^)]*)\)", expression) for label in text.split(",")}
        names = re.findall(r"\b(?:coredns|dnsserver|process)_\w+", expression)
        there = set().union(*(known[name] for name in names))
        assert grouped - TARGET - {"le", "kind", "cluster", "service_kind"} <= there, expression


def test_events_of_the_sockets_exist() -> None:
    """Those that an alert picks out are counted under that name."""
    picked = re.findall(r'event=~"([^"]*)"', ALERTS)
    assert picked
    for text in picked:
        assert set(text.split("|")) <= set(TransportStats.__dataclass_fields__)


@pytest.mark.skipif(not PROMTOOL.exists(), reason="no promtool: `make tools` takes it from Debian's package")
def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    """The alerts of the chart, and those of a rendered PrometheusRule; every query of the dashboard as well."""
    groups = yaml.safe_load(ALERTS)["groups"]
    rendered = render(
        {"metrics": {"prometheusRule": {"enabled": True, "extraGroups": [{"name": "mine", "rules": []}]}}}
    )
    found = find(rendered, "PrometheusRule")["spec"]["groups"]
    assert found == [*groups, {"name": "mine", "rules": []}]
    queries = [
        {"record": f"panel:query{number}:", "expr": re.sub(r"\$__rate_interval", "1m", one)}
        for number, one in enumerate(expressions())
        if not one.startswith("label_values")
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [*found[:1], {"name": "dashboard", "rules": queries}]}))
    ended = subprocess.run((str(PROMTOOL), "check", "rules", str(path)), check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.skipif(not PROMTOOL.exists(), reason="no promtool: `make tools` takes it from Debian's package")
def test_a_replica_that_is_started_again_and_again_is_noticed(tmp_path: Path) -> None:
    """The start-up probe ends what never lists everything; nothing is scraped in between."""
    labels = 'namespace="dns",pod="a",cluster="1"'
    firing = 'ALERTS{alertname="DnsserverNotSynced",alertstate="firing",'
    started = "0x9 stale _x4 " * 5  # five minutes each, then two and a half without it, in steps of 30 s
    case = {
        "interval": "30s",
        "input_series": [{"series": f"dnsserver_synced{{{labels}}}", "values": f"{started}1x20"}],
        "promql_expr_test": [
            {
                "expr": f"{firing}{labels}}}",
                "eval_time": when,
                "exp_samples": [{"labels": f'{firing}severity="critical",{labels}}}', "value": 1}] * fires,
            }
            for when, fires in (("8m", 0), ("22m", 1), ("36m", 1), ("40m", 0))
        ],
    }
    (tmp_path / "alerts.yaml").write_text(ALERTS)
    path = tmp_path / "tests.yaml"
    path.write_text(
        yaml.safe_dump({"rule_files": ["alerts.yaml"], "evaluation_interval": "30s", "tests": [case]}, sort_keys=False)
    )
    ended = subprocess.run((str(PROMTOOL), "test", "rules", str(path)), check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_alerts_say_what_to_do() -> None:
    """Each has a severity, a summary and a description, and a row in the page for operators."""
    page = (CHART.parents[1] / "docs" / "operations.md").read_text()
    named = [rule["alert"] for group in yaml.safe_load(ALERTS)["groups"] for rule in group["rules"]]
    assert set(re.findall(r"^\| `(Dnsserver\w+)` \|", page, re.MULTILINE)) == set(named)
    for group in yaml.safe_load(ALERTS)["groups"]:
        for rule in group["rules"]:
            assert rule["alert"].startswith("Dnsserver")
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert set(rule["annotations"]) == {"summary", "description"}


def test_the_dashboard_is_one() -> None:
    """Panels have titles, ids of their own and places that do not overlap; the sidecar finds the ConfigMap."""
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert panel["title"]
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
    config = find(render({"metrics": {"dashboard": {"enabled": True}}}), "ConfigMap", "-dashboard")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["dnsserver.json"]) == DASHBOARD
