"""Bytes to items: what is an object, what is refused by itself, and what breaks the file, each with its line."""

import json
from dataclasses import dataclass

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.objects import Kind, VirtualMachineInstance
from dnsserver.sources import documents
from dnsserver.sources.documents import BrokenDocumentError, Found, Ignored, Item, Refused, read_items

SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "ns1"}}
VMI = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachineInstance",
    "metadata": {"name": "vm1", "namespace": "ns1"},
}
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns1"}}
NAMELESS = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ns1"}}
POD = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "p", "namespace": "ns1"}}

YAML_SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: ns1}\n"  # three lines


def summary(item: Item) -> str:
    """Return an item as the tables below write it."""
    match item:
        case Found():
            return f"{item.line} {item.kind.value} {'/'.join(part for part in item.value.key if part)}"
        case Refused():
            return f"{item.line} refused {item.kind.value} {'/'.join(item.key)}"
        case Ignored():
            return f"{item.line} ignored"


def summaries(text: str | bytes, *, as_json: bool = False) -> list[str]:
    """Return the items of a file."""
    body = text.encode() if isinstance(text, str) else text
    return [summary(item) for item in read_items(body, json=as_json)]


def pretty(*values: object) -> str:
    """Return JSON as kubectl prints it."""
    return "\n".join(json.dumps(value, indent=4) for value in values)


@dataclass(frozen=True)
class Case:
    """A file and what is in it."""

    name: str
    text: str | bytes
    items: tuple[str, ...]
    as_json: bool = False


GOOD = [
    Case("empty file", "", ()),
    Case("only comments", "# nothing\n---\n# still nothing\n", ()),
    Case("empty documents", f"---\n---\n{YAML_SERVICE}---\nnull\n---\n", ("3 Service ns1/db",)),
    Case(
        "several documents",
        f"# first\n{YAML_SERVICE}---\n\n# second\napiVersion: v1\nkind: Namespace\nmetadata: {{name: ns1}}\n",
        ("2 Service ns1/db", "8 Namespace ns1"),
    ),
    Case(
        "a List in YAML",
        "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata:\n    name: ns1\n"
        "- apiVersion: v1\n  kind: Secret\n- apiVersion: v1\n  kind: Service\n  metadata: {namespace: ns1}\n"
        "kind: List\n",
        ("3 Namespace ns1", "7 ignored", "9 refused Service ns1/"),
    ),
    Case("an empty List", "apiVersion: v1\nkind: List\nitems: []\n", ()),
    Case("a List without items", "apiVersion: v1\nkind: List\n", ()),
    Case("a List of null in JSON", '{"apiVersion": "v1", "kind": "List", "items": null}', ()),
    Case(
        "a typed list, whose items say nothing of their type",
        "apiVersion: v1\nkind: ServiceList\nitems:\n- metadata: {name: db, namespace: ns1}\n",
        ("4 Service ns1/db",),
    ),
    Case(
        "a typed list in JSON",
        json.dumps({"kind": "ServiceList", "apiVersion": "v1", "items": [{"metadata": SERVICE["metadata"]}]}),
        ("1 Service ns1/db",),
    ),
    Case("a kind that merely ends in List", "apiVersion: example.org/v1\nkind: AllowList\n", ("1 ignored",)),
    Case(
        "a List in a List",
        pretty({"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "List", "items": [POD]}]}),
        ("9 ignored",),
    ),
    Case("another group's Service", "apiVersion: serving.knative.dev/v1\nkind: Service\n", ("1 ignored",)),
    Case("JSON in a file of any name", pretty(SERVICE), ("1 Service ns1/db",)),
    Case("a byte order mark before JSON", b"\xef\xbb\xbf" + pretty(SERVICE).encode(), ("1 Service ns1/db",)),
    Case("a byte order mark before YAML", b"\xef\xbb\xbf" + YAML_SERVICE.encode(), ("1 Service ns1/db",)),
    Case(
        "CRLF", YAML_SERVICE.replace("\n", "\r\n") + "---\r\n" + YAML_SERVICE, ("1 Service ns1/db", "5 Service ns1/db")
    ),
    Case(
        "JSON values one after the other",
        "\n" + pretty(SERVICE, NAMESPACE) + "\n",
        ("2 Service ns1/db", "10 Namespace ns1"),
    ),
    Case(
        "NDJSON",
        "\n".join(map(json.dumps, (SERVICE, NAMELESS, VMI))),
        (
            "1 Service ns1/db",
            "2 refused Service ns1/",
            "3 VirtualMachineInstance ns1/vm1",
        ),
    ),
    Case("NDJSON, named .json", f"{json.dumps(POD)}\n\n{json.dumps(POD)}\n", ("1 ignored", "3 ignored"), as_json=True),
    Case("a .json file with nothing in it", " \n", (), as_json=True),
    Case(
        "a List in JSON",
        pretty({"apiVersion": "v1", "items": [NAMESPACE, POD, NAMELESS, VMI], "kind": "List"}),
        ("4 Namespace ns1", "11 ignored", "19 refused Service ns1/", "26 VirtualMachineInstance ns1/vm1"),
    ),
    Case(
        "another field called items comes first",
        '{"metadata": {"items": [7]},\n "items": [\n\n' + json.dumps(POD) + '], "kind": "List", "apiVersion": "v1"}',
        ("4 ignored",),
    ),
    Case(
        "items under an escaped name: the list's line stands for all",
        '{"ite\\u006ds": [\n\n' + json.dumps(POD) + '], "kind": "List", "apiVersion": "v1"}',
        ("1 ignored",),
    ),
    Case("YAML's flow style", "{apiVersion: v1, kind: Secret}", ("1 ignored",)),
    Case("JSON between YAML's separators", f"{pretty(POD)}\n---\n{pretty(POD)}\n", ("1 ignored", "10 ignored")),
    Case(
        "anchors and merge keys",
        "apiVersion: v1\nkind: List\nitems:\n- &base {apiVersion: v1, kind: Namespace, metadata: {name: ns1}}\n"
        "- <<: *base\n  metadata: {name: ns2}\n",
        ("4 Namespace ns1", "5 Namespace ns2"),
    ),
    Case("an equals sign is a string", "apiVersion: v1\nkind: Secret\nx: [=]\n", ("1 ignored",)),
    Case("of a key that stands twice the last counts", f"kind: Secret\n{YAML_SERVICE}", ("1 Service ns1/db",)),
    Case("wrong tags in a kind that decides nothing", "apiVersion: v1\nkind: Secret\nx: !!int y\n", ("1 ignored",)),
    Case(
        "a Namespace in a namespace",
        '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"namespace": "x"}}',
        ("1 refused Namespace /",),
    ),
    Case("a number where a string belongs", YAML_SERVICE + "spec: {clusterIP: 10}\n", ("1 refused Service ns1/db",)),
]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_items(case: Case) -> None:
    """Each item comes with the line that it starts on, in YAML as in JSON."""
    assert summaries(case.text, as_json=case.as_json) == list(case.items)


@dataclass(frozen=True)
class Broken:
    """A file that cannot be read as a whole, and what is said about it."""

    name: str
    text: str | bytes
    line: int
    reason: str  # the beginning of it
    as_json: bool = False


UNTYPED = "not a Kubernetes object: "
BROKEN = [
    Broken("not YAML", f"{YAML_SERVICE}---\na: b: c\n", 5, "not YAML: mapping values are not allowed"),
    Broken("a tab", f"{YAML_SERVICE}spec:\n\tports: []\n", 5, "not YAML: found character that cannot start any token"),
    Broken("an open bracket", "a: [\n", 2, "not YAML: did not find expected node content"),
    Broken("a control character", b"a: 1\nb: \x01\n", 2, "not YAML: control characters are not allowed"),
    Broken("an unknown tag", f"{YAML_SERVICE}spec:\n  x: !foo y\n", 5, "not YAML: could not determine a constructor"),
    Broken("a tag that lies", f"---\n{YAML_SERVICE}x: !!int y\n", 2, "not YAML: ValueError"),
    Broken("a merge of a scalar", f"{YAML_SERVICE}<<: 1\n", 4, "not YAML: expected a mapping"),
    Broken("an undefined alias", "a: 1\nb: *x\n", 2, "not YAML: found undefined alias"),
    Broken("not UTF-8", b"a: 1\nb: \xff\n", 2, "not UTF-8"),
    Broken("UTF-16", "a: 1".encode("utf-16"), 1, "not UTF-8"),
    Broken("cut within a character", b"a: 1\n\n# \xc3", 3, "not UTF-8"),
    Broken("not UTF-8 where nobody looks", b'{"apiVersion": "v1",\n"kind": "Secret", "x": "\xff"}', 2, "not UTF-8"),
    Broken("not UTF-8 far into the file", b"#" * (1 << 20) + b"\n\n\xc3\xc3", 3, "not UTF-8"),
    Broken("a scalar", "# a note\nhello\n", 2, f"{UNTYPED}not a mapping"),
    Broken("a sequence", f"{YAML_SERVICE}---\n- 1\n", 5, f"{UNTYPED}not a mapping"),
    Broken("no kind", f"{YAML_SERVICE}---\napiVersion: v1\n", 5, f"{UNTYPED}no kind"),
    Broken("a kind that is no string", "apiVersion: v1\nkind: 1\n", 1, f"{UNTYPED}no kind"),
    Broken("no apiVersion", "kind: Service\n", 1, f"{UNTYPED}no apiVersion"),
    Broken("an item without a type", "apiVersion: v1\nkind: List\nitems:\n- a: 1\n", 4, f"{UNTYPED}no kind"),
    Broken("an item that is no mapping", "apiVersion: v1\nkind: List\nitems:\n-\n", 4, f"{UNTYPED}not a mapping"),
    Broken("too deep in YAML", "[" * 200_000, 1, "not YAML: nested deeper"),
    Broken("too deep in YAML's block style", "- " * 5000 + "a", 1, "not YAML: nested deeper"),
    Broken("a List that holds itself", "&a {apiVersion: v1, kind: List, items: [*a]}", 1, "nested too deeply"),
    Broken("a JSON file that is YAML", YAML_SERVICE, 1, "not JSON: invalid character", as_json=True),
    Broken("a JSON array", "\n[]", 2, f"{UNTYPED}Expected `object`, got `array`", as_json=True),
    Broken("a JSON kind that is no string", '{"kind": 1}', 1, f"{UNTYPED}Expected `str`"),
    Broken("JSON without a kind", '{"apiVersion": "v1"}', 1, f"{UNTYPED}no kind"),
    Broken("JSON cut short", pretty(SERVICE)[:-2] + "\n\n", 7, "not JSON: Input data was truncated"),
    Broken(
        "JSON wrong in its middle",
        f'{pretty(POD)}\n{{"kind":\n\n tru}}',
        11,
        "not JSON: invalid character",
        as_json=True,
    ),
    Broken(
        "JSON items without a type", pretty({"apiVersion": "v1", "items": [{}], "kind": "List"}), 4, f"{UNTYPED}no kind"
    ),
    Broken("too deep in JSON", '{"a": ' + "[" * 100_000, 1, "nested too deeply"),
]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_broken_files(case: Broken) -> None:
    """What breaks a file is named with its line, and nothing else is ever raised."""
    with pytest.raises(BrokenDocumentError) as caught:
        summaries(case.text, as_json=case.as_json)
    assert caught.value.reason.startswith(case.reason)
    assert caught.value.line == case.line
    assert str(caught.value).startswith(f"line {case.line}: ")


def test_timestamps_stay_strings() -> None:
    """An unquoted time in YAML is what the API would have sent, not a date of Python's."""
    text = (
        "apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstance\nmetadata: {name: vm1, namespace: ns1}\n"
        "status: {conditions: [{type: Ready, status: 'False', lastTransitionTime: 2026-09-01T08:00:41Z}]}\n"
    )
    (item,) = read_items(text.encode())
    assert isinstance(item, Found)
    assert isinstance(item.value, VirtualMachineInstance)
    assert item.value.ready.since == "2026-09-01T08:00:41Z"


def test_yaml_and_json_give_the_same_objects() -> None:
    """The way an object was written leaves no trace in it."""
    values = [SERVICE, VMI, NAMESPACE]
    from_yaml = list(read_items(yaml.safe_dump_all(values).encode()))
    from_json = list(read_items(pretty(*values).encode()))
    assert [item.value for item in from_yaml if isinstance(item, Found)] == [
        item.value for item in from_json if isinstance(item, Found)
    ]
    assert len(from_yaml) == len(from_json) == len(values)


def test_refusals_say_why() -> None:
    """The field that is wrong is named."""
    (item,) = read_items(json.dumps(NAMELESS).encode())
    assert item == Refused(1, Kind.SERVICE, ("ns1", ""), item.reason if isinstance(item, Refused) else "")
    assert isinstance(item, Refused)
    assert "name" in item.reason


def test_the_loader_without_libyaml_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML built without its C parser is slower and nothing else, the depth limit included."""

    class Pure(yaml.SafeLoader):
        """The pure loader with what `_Loader` adds."""

        yaml_implicit_resolvers = documents._Loader.yaml_implicit_resolvers
        _depth = 0
        descend_resolver = documents._Loader.descend_resolver
        ascend_resolver = documents._Loader.ascend_resolver

    monkeypatch.setattr(documents, "_Loader", Pure)
    assert summaries(f"# a\n{YAML_SERVICE}---\n{YAML_SERVICE}") == ["2 Service ns1/db", "6 Service ns1/db"]
    with pytest.raises(BrokenDocumentError, match="line 2: not YAML: mapping values"):
        summaries("a: 1\na: b: c")
    with pytest.raises(BrokenDocumentError, match="not YAML: nested deeper"):
        summaries("[" * 10_000)
    monkeypatch.setattr(documents, "_MAX_DEPTH", 10_000)
    with pytest.raises(BrokenDocumentError, match="nested too deeply"):
        summaries("[" * 10_000)


@given(st.one_of(st.binary(), st.text().map(str.encode)), st.booleans())
def test_any_bytes_are_items_or_a_broken_file(body: bytes, as_json: bool) -> None:
    """Nothing else ever comes out."""
    try:
        items = list(read_items(body, json=as_json))
    except BrokenDocumentError:
        return
    assert all(isinstance(item, Found | Refused | Ignored) for item in items)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "apiVersion": st.sampled_from(["v1", "kubevirt.io/v1", "discovery.k8s.io/v1"]) | JSON_VALUES,
        "kind": st.sampled_from([*(kind.value for kind in Kind), "List", "ServiceList", "Secret"]) | JSON_VALUES,
        "metadata": st.fixed_dictionaries({}, optional={"name": JSON_VALUES, "namespace": JSON_VALUES}) | JSON_VALUES,
        "items": st.lists(JSON_VALUES, max_size=3) | JSON_VALUES,
        "spec": JSON_VALUES,
        "status": JSON_VALUES,
    },
)


@given(DOCUMENTS, st.booleans())
def test_any_document_is_items_or_a_broken_file(document: dict[str, object], as_json: bool) -> None:
    """Whatever stands where something else belongs, and whichever way it is written."""
    text = json.dumps(document) if as_json else yaml.safe_dump(document)
    try:
        items = list(read_items(text.encode(), json=as_json))
    except BrokenDocumentError:
        return
    assert all(isinstance(item, Found | Refused | Ignored) for item in items)
