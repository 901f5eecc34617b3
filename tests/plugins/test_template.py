"""`template`: the language, what a rule answers, what it counts, refusals, and a whole server."""

from dataclasses import replace as dataclass_replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver import corefile
from dnsserver.message import Edns, Query, Reply
from dnsserver.names import from_text, to_text
from dnsserver.plugins.plugin import Context, PluginError, Request
from dnsserver.plugins.template import Templates
from dnsserver.plugins.template import parse as parse_templates
from dnsserver.plugins.templating.shapes import TemplateError, TemplateFailure, Value
from dnsserver.plugins.templating.template import parse_template
from dnsserver.records import Rcode, RRClass, RRset, RRType
from dnsserver.wire import rdata_to_text, type_to_text
from tests.harness import serving
from tests.plugins.conftest import SERVER, ZONE, World, answering, parse, refusal, request

QUESTION: Value = {"Name": "Ip-10.example.", "Qtype": 1, "Qclass": 1}
DATA: dict[str, Value] = {
    "Zone": "example.",
    "Name": "ip-10.example.",
    "Class": "IN",
    "Type": "A",
    "Regex": "^ip-(?P<a>[0-9]+)(x)?",
    "Remote": "192.0.2.1",
    "Match": ("ip-10", "10", ""),
    "Group": {"0": "ip-10", "1": "10", "2": "", "a": "10"},
    "Question": QUESTION,
    "Message": {"Id": 77, "Opcode": 0, "Rcode": 0, "RecursionDesired": True, "Question": [QUESTION]},
}
TEMPLATES = [  # template, text, source as Go prints it ("" where that is the template)
    ("plain", "plain", ""),
    ("", "", ""),
    ("{{ .Name }} 60 A 10.{{ .Group.a }}", "ip-10.example. 60 A 10.10", "{{.Name}} 60 A 10.{{.Group.a}}"),
    ("{{.Zone}}{{.Class}}{{.Type}}{{.Remote}}", "example.INA192.0.2.1", ""),
    ("{{.Regex}}", "^ip-(?P<a>[0-9]+)(x)?", ""),
    ("{{.Match}} {{.Group}}", "[ip-10 10 ] map[0:ip-10 1:10 2: a:10]", ""),
    ("{{ index .Match 1 }}", "10", "{{index .Match 1}}"),
    ('{{index .Group "a"}}{{index .Group "none"}}', "10", ""),
    ("{{.Group.none}}", "<no value>", ""),
    ("{{index .Name 0}}", "105", ""),
    ("{{.Question.Name}} {{.Question.Qtype}} {{.Question.Qclass}}", "Ip-10.example. 1 1", ""),
    ("{{.Message.Id}} {{.Message.RecursionDesired}} {{(index .Message.Question 0).Qtype}}", "77 true 1", ""),
    ('{{.Meta "x/y"}}{{(.Meta `x`)}}|{{"z" | .Meta}}|', "||", '{{.Meta "x/y"}}{{(.Meta `x`)}}|{{.Meta "z"}}|'),
    ("{{parseInt .Group.a 16 8}} {{parseInt `fF` 16 8}}", "16 255", ""),
    ('{{8 | parseInt "Z" 36}}', "35", '{{8 | parseInt "Z" 36}}'),
    ('{{printf "%03d.%s" (parseInt .Group.a 10 8) .Type}}', "010.A", ""),
    ('{{printf "%5s|%-4d|%04x|%X|%x|%o|%b" "a" 7 255 255 "az" 8 5}}', "    a|7   |00ff|FF|617a|10|101", ""),
    ('{{printf "%c|%t|%v|%%|%-3s|%X" 65 true .Match "b" "kz"}}', "A|true|[ip-10 10 ]|%|b  |6B7A", ""),
    ("{{printf `%q|%.2s` `q\"\\` `abc`}}", '"q\\"\\\\"|ab', ""),
    ('{{printf "%q" "\\x01"}}', '"\\x01"', ""),
    ('{{printf "%c" -1}}', "\ufffd", ""),
    ("{{print 1 2 `a` 3 4 true}}|{{println 1 `a`}}", "1 2a3 4 true|1 a\n", ""),
    ("{{len .Match}} {{len .Group}} {{len `é`}}", "3 4 2", ""),
    ("{{slice .Name 1 3}} {{slice .Name 3}} {{slice .Match 1}} {{slice `ab`}}", "p- 10.example. [10 ] ab", ""),
    ('{{if eq .Type "A" "AAAA"}}yes{{else}}no{{end}}', "yes", ""),
    ("{{if 0}}a{{else if gt 2 1}}b{{else}}c{{end}}", "b", "{{if 0}}a{{else}}{{if gt 2 1}}b{{else}}c{{end}}{{end}}"),
    ("{{if false}}x{{else if .Group.none}}y{{end}}", "", "{{if false}}x{{else}}{{if .Group.none}}y{{end}}{{end}}"),
    ("{{lt 1 2}}{{le 2 2}}{{gt `a` `b`}}{{ge 1 2}}{{not .Name}}", "truetruefalsefalsefalse", ""),
    ("{{and .Name 0 (index .Match 9)}}{{or `` .Type (index .Match 9)}}{{and 1}}{{or 0 `x`}}", "0A1x", ""),
    ("{{$x := .Name}}{{$x}}{{$y := 1}}{{$y = 2}}{{$y}}{{$.Type}}", "ip-10.example.2A", ""),
    ("{{with .Group}}{{.a}}{{$.Type}}{{else}}no{{end}}", "10A", ""),
    ("{{with $x := index .Match 2}}{{$x}}{{else}}none{{.Type}}{{end}}", "noneA", ""),
    ("{{if $x := len .Name}}{{$x}}{{end}}", "14", ""),
    ("{{range .Match}}[{{.}}]{{end}}", "[ip-10][10][]", ""),
    ("{{range $i, $m := .Match}}{{$i}}{{$m}}{{end}}", "0ip-101102", ""),
    ("{{range $k, $v := .Group}}{{$k}}={{$v}} {{end}}", "0=ip-10 1=10 2= a=10 ", ""),
    ("{{range $v := .Message.Question}}{{$v.Qtype}}{{.Qclass}}{{end}}", "11", ""),
    ("{{range slice .Match 3}}x{{else}}empty{{end}}", "empty", ""),
    ("a {{- 1 -}} b {{- /* no */ -}} c{{/* no {{ */}} d {{-3}}", "a1bc d -3", "a{{1}}bc d {{-3}}"),
    ("{{`{{ }}`}}{{\"}}\"}}", "{{ }}}}", ""),
    ('{{"\\a\\t\\\\\\"\\x41\\101\\u00e9\\U000000e9"}}', '\a\t\\"AAéé', ""),
    ("{{0x10}}{{010}}{{0}}{{+1}}{{1_000}}", "1680" + "11000", ""),
    ("{{((.Name))}}{{(.Question).Name}}", "ip-10.example.Ip-10.example.", ""),
    ("{{.Name | printf `%s-%s` .Type}}", "A-ip-10.example.", "{{.Name | printf `%s-%s` .Type}}"),
    ("{{ .Name | len | printf \"%d\" }}", "14", '{{.Name | len | printf "%d"}}'),
]  # fmt: skip  # a template a line


@pytest.mark.parametrize(("text", "expected", "source"), TEMPLATES)
def test_language(text: str, expected: str, source: str) -> None:
    """Templates do what Go's do, and print their source as Go prints it."""
    template = parse_template(text)
    assert template.execute(DATA) == expected
    assert template.source == (source or text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{", "without its end '}}'"),
        ("{{ /* x }}", "without its end '*/}}'"),
        ("{{/* x */ }}", "without its end '*/}}'"),
        ("{{}}", "a missing value in '{{}}'"),
        ("{{ .Name", "without its end"),
        ("{{ .Nothing }}", "has no field Nothing, expecting one of Zone, Name"),
        ("{{ .Question.Foo }}", "'.Question' has no field Foo, expecting one of Name, Qtype, Qclass"),
        ("{{ .Message.Answer }}", "has no field Answer"),
        ("{{ .Name.x }}", "'.Name' is a string and has no field x"),
        ("{{ .Message }}", "'.Message' is a struct and cannot be printed"),
        ("{{ . }}", "is a struct and cannot be printed"),
        ("{{ .Message.Question }}", "cannot be printed"),
        ("{{ print .Question }}", "cannot be printed"),
        ("{{ .Meta }}", "takes one string"),
        ("{{ .Meta 1 }}", "takes one string"),
        ("{{ print .Meta }}", "needs parentheses"),
        ("{{ $m := (.Meta) }}", "takes one string"),
        ("{{ .Name .Type }}", "'.Name' is not a function"),
        ("{{ 1 | .Name }}", "is not a function"),
        ("{{ nothing }}", "function 'nothing' does not exist, expecting one of and, or, parseInt"),
        ("{{ html .Name }}", "function 'html' is not supported"),
        ("{{ call .Name }}", "function 'call' is not supported"),
        ("{{ template `x` }}", "'template' is not supported"),
        ("{{ define `x` }}{{ end }}", "'define' is not supported"),
        ("{{ range .Match }}{{ break }}{{ end }}", "'break' is not supported"),
        ("{{ nil }}", "unexpected 'nil'"),
        ("{{ 'a' }}", "unexpected '''"),
        ("{{ 1.5 }}", "'1.5' is not an integer"),
        ("{{ 99999999999999999999 }}", "too large"),
        ("{{ (.Name }}", "a missing ')'"),
        ("{{ .Name) }}", "unexpected ')'"),
        ("{{ .Name | }}", "a missing value"),
        ("{{ $x }}", "undefined variable '$x'"),
        ("{{ $x = 1 }}", "cannot change its kind"),
        ("{{ $x := 1 }}{{ $x = `a` }}", "cannot change its kind"),
        ("{{ if 1 }}{{ $x := 1 }}{{ end }}{{ $x }}", "undefined variable"),
        ("{{ if 1 }}", "'if 1' without its '{{end}}'"),
        ("{{ if 1 }}{{ else }}{{ else }}{{ end }}", "a second 'else'"),
        ("{{ end }}", "unexpected '{{ end }}'"),
        ("{{ else }}", "unexpected '{{ else }}'"),
        ("{{ with 1 }}{{ else with 2 }}{{ end }}", "unexpected 'with'"),
        ("{{ range .Name }}{{ end }}", "is a string, and range is for slices and maps"),
        ("{{ range 3 }}{{ end }}", "range is for"),
        ("{{ range $a, $b, $c := .Match }}{{ end }}", "at most two"),
        ("{{ len 3 }}", "len cannot take '3', which is a integer"),
        ("{{ len }}", "does not take 0 arguments"),
        ("{{ index .Match `a` }}", "expecting an integer"),
        ("{{ index .Group 1 }}", "expecting a string"),
        ("{{ index 1 1 }}", "expecting a slice, map or string"),
        ("{{ index .Match 0 0 0 }}", "expecting a slice, map or string"),
        ("{{ slice .Group }}", "expecting a string or slice"),
        ("{{ slice .Name `a` }}", "expecting an integer"),
        ("{{ eq .Name 1 }}", "what compares with '.Name'"),
        ("{{ eq .Match .Match }}", "what compares"),
        ("{{ lt true false }}", "what compares"),
        ("{{ eq (or .Name 1) 1 }}", "kind that depends on the query"),
        ("{{ parseInt 1 2 3 }}", "parseInt cannot take '1'"),
        ("{{ parseInt `1` }}", "does not take 1 arguments"),
        ("{{ and }}", "needs an argument"),
        ("{{ printf .Name }}", "has to be a string literal"),
        ("{{ printf `%d` .Name }}", "verb %d does not print '.Name', which is a string"),
        ("{{ printf `%s` 1 }}", "verb %s does not print '1'"),
        ("{{ printf `%s` }}", "has no argument for %s"),
        ("{{ printf `x` 1 }}", "has no verb for 1"),
        ("{{ printf `%f` 1 }}", "verb '%f' is not supported"),
        ("{{ printf `%` }}", "verb '%' is not supported"),
        ("{{ printf `%.3d` 1 }}", "takes no precision"),
        ("{{ printf `%256d` 1 }}", "wider than 255"),
        ("{{ printf `%v` .Question }}", "cannot be printed"),
        ('{{ "\\z" }}', "escape '\\z'"),
        ('{{ "\\xff" }}', "escape '\\xff'"),
        ('{{ "a\n" }}', "unexpected"),
        ("{{ " + "(" * 3000, "without its end"),
        ("{{ " + "(" * 3000 + "}}", "nested too deeply"),
        ("{{if 1}}" * 3000, "nested too deeply"),
    ],
)
def test_refused_templates(text: str, reason: str) -> None:
    """What is outside the subset is refused by name when it is parsed."""
    with pytest.raises(TemplateError) as caught:
        parse_template(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "{{index .Match 3}}",
        "{{index .Match -1}}",
        "{{slice .Name 3 2}}",
        "{{slice .Name 99}}",
        "{{parseInt .Group.none 16 8}}",
        "{{parseInt `` 10 8}}",
        "{{parseInt `-1` 10 8}}",
        "{{parseInt `0x1` 16 8}}",
        "{{parseInt `1_0` 10 8}}",
        "{{parseInt `256` 10 8}}",
        "{{parseInt `18446744073709551616` 10 0}}",
        "{{parseInt `1` 1 8}}",
        "{{parseInt `1` 10 65}}",
        "{{print .Group.none}}",
        "{{printf `%s` .Group.none}}",
        "{{len .Group.none}}",
        "{{eq .Group.none .Name}}",
        "{{range .Match}}{{range $.Match}}{{range $.Match}}{{range $.Match}}{{range $.Match}}" + "x{{end}}" * 5,
    ],
)
def test_failures(text: str) -> None:
    """What only a query can make wrong fails on that query alone."""
    data: dict[str, Value] = DATA | {"Match": ("x",) * (11 if "range" in text else 3)}
    with pytest.raises(TemplateFailure):
        parse_template(text).execute(data)


WORDS = (
    "{{ }} .Name .Match .Group.a index parseInt if else end range with $x := = | ( ) 1 `a` print printf `%d` - /* */"
)


@given(st.lists(st.sampled_from(WORDS.split()), max_size=12).map(" ".join))
def test_any_template(text: str) -> None:
    """Whatever is written, it is refused, fails, or gives text."""
    try:
        assert isinstance(parse_template(text).execute(DATA), str)
    except (TemplateError, TemplateFailure):
        return


def only(text: str) -> Templates:
    """Return the plugin of one block."""
    (plugin,) = parse("template", text)
    assert isinstance(plugin, Templates)
    return plugin


def lines(section: tuple[RRset, ...]) -> list[str]:
    """Return the records of a section as a zone file has them, without the class."""
    return [
        f"{to_text(one.owner)} {one.ttl} {type_to_text(one.rrtype)} {rdata_to_text(one.rrtype, rdata)}"
        for one in section
        for rdata in one.rdatas
    ]


NEXT = Reply(rcode=Rcode.NOTAUTH)
IP = """template IN A example.com {
match (^|[.])ip-(?P<a>[0-9]*)-(?P<b>[0-9]*)-(?P<c>[0-9]*)-(?P<d>[0-9]*)[.]example[.]com[.]$
match ^(?P<a>[0-9]*)[.](?P<b>[0-9]*)[.](?P<c>[0-9]*)[.](?P<d>[0-9]*)[.]ext[.]example[.]com[.]$
answer "{{ .Name }} 60 IN A {{ .Group.a }}.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}"
fallthrough
}"""
RULES = [  # block, question, type, rcode, answer (NOTAUTH: the next plugin's)
    (IP, "ip-10-1-2-3.example.com.", RRType.A, 0, ["ip-10-1-2-3.example.com. 60 A 10.1.2.3"]),
    (IP, "10.1.2.3.ext.example.com.", RRType.A, 0, ["10.1.2.3.ext.example.com. 60 A 10.1.2.3"]),
    (IP, "other.example.com.", RRType.A, Rcode.NOTAUTH, []),
    (IP, "ip-10-1-2-3.example.com.", RRType.ANY, 0, ["ip-10-1-2-3.example.com. 60 A 10.1.2.3"]),
    (IP, "ip-10-1-2-3.example.com.", RRType.AAAA, Rcode.NOTAUTH, []),
    (IP, "ip-10-1-2-3.example.org.", RRType.A, Rcode.NOTAUTH, []),
    ("template ANY ANY {\nrcode NXDOMAIN\n}", "a.example.com.", RRType.MX, Rcode.NXDOMAIN, []),
    ("template IN ANY {\nrcode servfail\nanswer \"x\"\n}", "a.example.com.", RRType.MX, Rcode.SERVFAIL, []),
    ("template IN A {\nmatch ^b\n}", "a.example.com.", RRType.A, Rcode.SERVFAIL, []),
    ("template IN A {\nmatch ^b\nfallthrough a.example.com\n}", "x.a.example.com.", RRType.A, Rcode.NOTAUTH, []),
    ("template IN A {\nmatch ^b\nfallthrough a.example.com\n}", "x.b.example.com.", RRType.A, Rcode.SERVFAIL, []),
    ("template IN A {\nmatch ^b\nfallthrough\n}\ntemplate IN A {\nrcode YXRRSET\n}", "example.com.",
     RRType.A, 7, []),
    ("template IN A . {\nmatch ^a ^b\nanswer \". A 192.0.2.1\" \". A 192.0.2.1\" \". 5 A 192.0.2.2\"\n}", "b.",
     RRType.A, 0, [". 3600 A 192.0.2.1", ". 5 A 192.0.2.2"]),
    ("template IN A 10.0.0.0/8 {\nanswer \"{{ .Zone }} TXT {{ .Name }}\"\n}", "1.10.in-addr.arpa.", RRType.A, 0,
     ['10.in-addr.arpa. 3600 TXT "1.10.in-addr.arpa."']),
    ("template IN TXT a.b. b. {\nanswer \"{{ .Zone }} TXT x\"\n}", "x.a.b.", RRType.TXT, 0, ['a.b. 3600 TXT "x"']),
    ("template IN TYPE65280 {\nanswer \"{{ .Name }} TXT {{ .Type }} {{ .Class }} {{ .Remote }}\"\n}", "example.com.",
     65280, 0, ['example.com. 3600 TXT "TYPE65280" "IN" "127.0.0.1"']),
    ("template ANY TXT {\nanswer \"{{ .Name }} TXT {{ .Type }}\"\n}", "example.com.",
     RRType.ANY, 0, ['example.com. 3600 TXT "TXT"']),
    ("template IN TXT {\nanswer \"{{ .Name }} TXT {{ .Regex }} {{ .Message.Id }} {{ index .Match 0 }}\"\n}",
     "example.com.", RRType.TXT, 0, ['example.com. 3600 TXT ".*" "77" "example.com."']),
]  # fmt: skip  # a rule a line


@pytest.mark.parametrize(("text", "name", "qtype", "rcode", "answer"), RULES)
async def test_rules(text: str, name: str, qtype: int, rcode: int, answer: list[str]) -> None:
    """Zone, class, type and pattern decide which template answers; one that only lacks a pattern falls through."""
    reply = await only(text).handle(request(name, qtype), answering(NEXT))
    assert (reply.rcode, lines(reply.answer)) == (rcode, answer)
    assert reply.authoritative or rcode == Rcode.SERVFAIL


async def test_sections() -> None:
    """Every section has records of its own; an extended error goes with any code."""
    text = """template IN MX example.com {
    answer "{{ .Name }} 60 IN MX 10 {{ .Name }}"
    additional "{{ .Name }} 60 IN A 10.0.0.1"
    authority "example. 60 IN NS ns0.example." "example. 60 IN NS ns1.example."
    authority "example. 60 SOA ns0.example. admin.example. (1 60 120 86400 3600)"
    ederror 21 "Blocked according to RFC2606"
    }"""
    reply = await only(text).handle(request("a.example.com.", RRType.MX), answering(NEXT))
    assert lines(reply.answer) == ["a.example.com. 60 MX 10 a.example.com."]
    assert lines(reply.additional) == ["a.example.com. 60 A 10.0.0.1"]
    assert lines(reply.authority) == [
        "example. 60 NS ns0.example.",
        "example. 60 NS ns1.example.",
        "example. 60 SOA ns0.example. admin.example. 1 60 120 86400 3600",
    ]
    assert len(reply.authority) == 2
    assert reply.extended_error == (21, "Blocked according to RFC2606")
    reply = await only("template IN A {\nrcode SERVFAIL\nederror 0\n}").handle(request(), answering(NEXT))
    assert (reply.rcode, reply.extended_error) == (Rcode.SERVFAIL, (0, ""))


async def test_foreign_classes(world: World) -> None:
    """A template may answer another class; without one, and without another plugin for it, the class is refused."""
    plugin = only('template CH TXT . {\nmatch ^v\nanswer "{{ .Name }} {{ .Class }} TXT x"\nfallthrough\n}')
    assert plugin.any_class
    assert not only("template IN TXT {\nrcode NXDOMAIN\n}").any_class
    world.block(plugin)
    async with plugin.running(world.runtime):
        reply = await plugin.handle(request("v.", RRType.TXT, qclass=RRClass.CH), answering(NEXT))
        assert lines(reply.answer) == ['v. 3600 TXT "x"']
        reply = await plugin.handle(request("v.", RRType.TXT, qclass=RRClass.ANY), answering(NEXT))
        assert lines(reply.answer) == ['v. 3600 TXT "x"']
        reply = await plugin.handle(request("w.", RRType.TXT, qclass=RRClass.CH), answering(NEXT))
        assert (reply.rcode, reply.extended_error) == (Rcode.REFUSED, (20, ""))
        assert await plugin.handle(request("w."), answering(NEXT)) is NEXT
    (chaos,) = parse("chaos", "chaos")
    world.blocks[:] = [(SERVER, (plugin, chaos))]
    async with plugin.running(world.runtime):
        assert await plugin.handle(request("w.", qclass=RRClass.HS), answering(NEXT)) is NEXT


ALIAS = """template IN ANY . {
answer "foogle.com 60 IN CNAME a.example"
answer "a.example 60 IN CNAME Google.com"
}"""


async def test_aliases(world: World) -> None:
    """The end of the aliases is looked up for addresses, once; whatever comes of that, the aliases stay."""
    asked: list[Query] = []
    found = RRset(from_text("google.com"), RRType.A, 5, (bytes(4),))
    replies = [Reply(answer=(found,), truncated=True), Reply(rcode=Rcode.NXDOMAIN)]

    async def ask(request: Request, query: Query) -> Reply:
        asked.append(query)
        if not replies:
            raise PluginError("test", "nobody knows")
        return replies.pop(0)

    plugin = only(ALIAS)
    world.block(plugin)
    aliases = ["foogle.com. 60 CNAME a.example.", "a.example. 60 CNAME Google.com."]
    async with plugin.running(dataclass_replace(world.runtime, ask=ask)):
        reply = await plugin.handle(request("foogle.com.", edns=Edns(1232)), answering(NEXT))
        assert lines(reply.answer) == [*aliases, "google.com. 5 A 0.0.0.0"]
        assert reply.truncated
        assert (to_text(asked[0].qname), to_text(asked[0].name)) == ("Google.com.", "google.com.")
        assert asked[0].edns == Edns(1232)
        for _ in range(2):
            reply = await plugin.handle(request("foogle.com.", RRType.AAAA), answering(NEXT))
            assert (lines(reply.answer), reply.rcode) == (aliases, Rcode.NOERROR)
        assert len(asked) == 3
        for name, qtype in (("foogle.com.", RRType.TXT), ("other.", RRType.A)):
            assert lines((await plugin.handle(request(name, qtype), answering(NEXT))).answer) == aliases
    assert lines((await plugin.handle(request("foogle.com."), answering(NEXT))).answer) == aliases  # nobody runs it
    loop = only('template IN A . {\nanswer "{{ .Name }} CNAME b." "b. CNAME {{ .Name }}"\n}')
    whole = only('template IN A . {\nanswer "{{ .Name }} CNAME b." "b. A 192.0.2.1"\n}')
    async with loop.running(dataclass_replace(world.runtime, ask=ask)):
        assert len(lines((await loop.handle(request("a."), answering(NEXT))).answer)) == 2
    async with whole.running(dataclass_replace(world.runtime, ask=ask)):
        assert len(lines((await whole.handle(request("a."), answering(NEXT))).answer)) == 2
    assert len(asked) == 3


async def test_failures_and_metrics(world: World) -> None:
    """A template that fails, and one that makes no record, are errors; both are counted where they happened."""
    text = """template IN A {
    match ^bad
    answer "{{ index .Match 3 }}"
    fallthrough
    }
    template ANY ANY {
    authority "{{ .Name }} 60 IN A {{ .Group.none }}"
    }"""
    plugin = only(text)
    world.block(plugin)
    async with plugin.running(world.runtime):
        with pytest.raises(PluginError, match="plugin/template: answer template failed: index 3 of 1 is out of range"):
            await plugin.handle(request("bad.example.com."), answering(NEXT))
        for qtype in (RRType.A, 65280):
            with pytest.raises(PluginError, match="plugin/template: authority template makes no record"):
                await plugin.handle(request("good.example.com.", qtype), answering(NEXT))
        scraped = (await world.runtime.metrics.render()).decode()
    where = 'server="dns://:53",{}type="{}",view="",zone="example.com."'
    assert _samples(scraped) == {
        f'matches_total{{class="IN",{where.format("", "A")}}} 2.0',
        f'matches_total{{class="IN",{where.format("", "")}}} 1.0',
        'template_failures_total{class="IN",section="answer",'
        + where.format('template="{{index .Match 3}}",', "A")
        + "} 1.0",
        *(
            'rr_failures_total{class="IN",section="authority",'
            + where.format('template="{{.Name}} 60 IN A {{.Group.none}}",', label)
            + "} 1.0"
            for label in ("A", "")
        ),
    }
    assert _samples((await world.runtime.metrics.render()).decode()) == _samples(scraped)  # counters outlive a reload


def _samples(scraped: str) -> set[str]:
    prefix = "coredns_template_"
    return {line.removeprefix(prefix) for line in scraped.splitlines() if line.startswith(prefix)}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("template", "expecting template CLASS TYPE [ZONES...]"),
        ("template IN", "expecting template CLASS TYPE"),
        ("template XX A", "invalid query class XX"),
        ("template IN XX", "invalid RR type XX"),
        ("template IN A a..b", "names no zone"),
        ("template IN A {\nmatch\n}", "expecting match REGEX..."),
        ("template IN A {\nmatch (\n}", "Corefile:3 - Error during parsing: could not parse regex"),
        ("template IN A {\nmatch (?=a)\n}", "is not supported"),
        ("template IN A {\nanswer\n}", "expecting answer RR"),
        ('template IN A {\nanswer "{{ .Foo }}"\n}', "could not compile template: '.' has no field Foo"),
        ('template IN A {\nadditional "{{ html .Name }}"\n}', "function 'html' is not supported"),
        ("template IN A {\nrcode\n}", "expecting rcode CODE"),
        ("template IN A {\nrcode OK\n}", "unknown rcode 'OK'"),
        ("template IN A {\nederror x\n}", "extended DNS error code x"),
        ("template IN A {\nederror 65536\n}", "extended DNS error code 65536"),
        ("template IN A {\nederror 1 a b\n}", "expecting ederror CODE [TEXT]"),
        ("template IN A {\nfallthrough a..b\n}", "names no zone"),
        ("template IN A {\nupstream\n}", "'upstream' is gone"),
        ("template IN A {\nvar x 1\n}", "unknown property 'var', expecting match or answer"),
        ("template IN A {\nexpr true\n}", "unknown property 'expr'"),
    ],
)
def test_refusals(text: str, error: str) -> None:
    """What is not understood says where, and what was expected."""
    message = refusal("template", text)
    assert message.startswith("plugin/template: Corefile:")
    assert error in message


def test_metadata_warning() -> None:
    """A template that asks for metadata is told that there is none."""
    (block,) = corefile.parse('. {\ntemplate IN TXT {\nanswer "a. TXT x{{ .Meta `a/b` }}"\n}\n}').blocks
    warnings: list[str] = []
    parse_templates(block.directives, Context((ZONE,), Path(), 53, warnings.append))
    assert warnings == ["plugin/template: Corefile:3 - .Meta is always empty: there is no metadata here"]


@given(st.lists(st.binary(min_size=1, max_size=63), max_size=3))
async def test_any_name(labels: list[bytes]) -> None:
    """Whatever the name, an answer has it as its owner."""
    name = to_text(b"".join(bytes((len(label),)) + label for label in labels) + b"\0").lower()
    plugin = only('template IN PTR . {\nanswer "{{ .Name }} 60 IN PTR {{ .Name }}"\n}')
    reply = await plugin.handle(request(name, RRType.PTR), answering(NEXT))
    assert [one.owner for one in reply.answer] == [from_text(name)]


async def test_whole_server(tmp_path: Path) -> None:
    """A Corefile's templates answer over the network, in the case of the question."""
    text = """
    example {
        bind 127.0.0.1
        template IN A {
            match "^ip0a0a(?P<c>[a-f0-9]{2})(?P<d>[a-f0-9]{2})[.]example[.]$"
            answer "{{ .Name }} 60 IN A 10.10.{{ parseInt .Group.c 16 8 }}.{{ parseInt .Group.d 16 8 }}"
            fallthrough
        }
        template ANY ANY {
            rcode NXDOMAIN
            authority "{{ .Zone }} 60 IN SOA ns.{{ .Zone }} admin.{{ .Zone }} (1 60 60 60 60)"
        }
    }
    """
    async with serving(text, tmp_path) as server:
        reply = await server.ask("IP0a0A7b7b.example")
        assert [to_text(one.owner) for one in reply.answer] == ["IP0a0A7b7b.example."]
        assert await server.texts("ip0a0a7b7b.example") == ["10.10.123.123"]
        reply = await server.ask("nobody.example")
        assert (reply.rcode, [one.rrtype for one in reply.authority]) == (Rcode.NXDOMAIN, [RRType.SOA])
