"""Directives that are accepted and do nothing."""

from pathlib import Path

import pytest

from dnsserver import corefile
from dnsserver.plugins.order import available
from dnsserver.plugins.plugin import Context
from dnsserver.plugins.without_effect import DIRECTIVES
from tests.plugins.conftest import refusal

TRACE = """trace DATADOG localhost:8126 {
every 10
service dns
client_server
client_server false
datadog_analytics_rate
datadog_analytics_rate 0.5
zipkin_max_backlog_size 100
zipkin_max_batch_size
zipkin_max_batch_interval 5s
}"""

ACCEPTED = [
    "metadata",
    "metadata example.org 10.0.0.0/8",
    "cancel",
    "cancel 1s",
    "cancel\ncancel 5s",
    "multisocket",
    "multisocket 1024",
    "trace",
    "trace localhost:9411",
    "trace zipkin http://zipkin:9411/api/v2/spans",
    TRACE,
    "pprof",
    "pprof :6053",
    "pprof localhost:6053 {\nblock\n}",
    "pprof {\nblock 20\n}",
    "shed",
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted(text: str) -> None:
    """Each use is a warning, and no plugin."""
    warnings: list[str] = []
    (block,) = corefile.parse(f". {{\n{text}\n}}").blocks
    name = block.directives[0].name
    context = Context(zones=(), folder=Path(), port=53, warn=warnings.append)
    assert available()[name](block.directives, context) == ()
    assert warnings == [
        f"directive '{name}' at Corefile:{directive.line} has no effect here: {DIRECTIVES[name].reason}"
        for directive in block.directives
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("metadata a..b", "'a..b' is not a zone"),
        ("metadata\nmetadata", "this plugin can only be used once per Server Block"),
        ("metadata {\nx\n}", "expecting no block"),
        ("cancel 5", "missing unit in duration"),
        ("cancel 0s", "invalid negative duration: 0s, expecting more than 0s"),
        ("cancel -1s", "negative"),
        ("cancel 1s 2s", "expecting cancel [TIMEOUT]"),
        ("cancel {\nx\n}", "expecting no block"),
        ("multisocket 0", "expecting 1 to 1024"),
        ("multisocket 1025", "expecting 1 to 1024"),
        ("multisocket two", "'two' is not a number"),
        ("multisocket 1 2", "expecting multisocket [SOCKETS]"),
        ("multisocket\nmultisocket", "once per Server Block"),
        ("trace jaeger localhost:1", "tracing endpoint type 'jaeger' is not supported, expecting zipkin or datadog"),
        ("trace zipkin a b", "expecting trace [zipkin|datadog] [ENDPOINT]"),
        ("trace {\nevery\n}", "expecting every AMOUNT"),
        ("trace {\nevery x\n}", "'x' is not a number of that kind, expecting 0 or more"),
        ("trace {\nservice\n}", "expecting service NAME"),
        ("trace {\nclient_server maybe\n}", "'maybe' is not a boolean"),
        ("trace {\ndatadog_analytics_rate 2\n}", "rate '2' is not supported, expecting 0 to 1"),
        ("trace {\ndatadog_analytics_rate x\n}", "rate 'x' is not supported"),
        ("trace {\ndatadog_analytics_rate nan\n}", "rate 'nan' is not supported"),
        ("trace {\nzipkin_max_batch_interval 5\n}", "missing unit"),
        ("trace {\nsample 1\n}", "unknown property 'sample'"),
        ("pprof a b", "expecting pprof [ADDRESS]"),
        ("pprof localhost:x", "localhost:x"),
        ("pprof {\nblock x\n}", "'x' is not a number"),
        ("pprof {\nmutex\n}", "unknown property 'mutex', expecting block"),
        ("pprof\npprof", "once per Server Block"),
        ("shed 1", "expecting shed"),
        ("shed {\nx\n}", "expecting no block"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """Nonsense is refused, as it is by what does have an effect."""
    name = text.split(maxsplit=1)[0]
    error = refusal(name, text)
    assert reason in error
    assert error.startswith(f"plugin/{name}: Corefile:")
