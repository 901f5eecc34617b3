"""From JSON and YAML to slim objects: keys, list pages, watch events, and what arbitrary input can do."""

import json
from copy import deepcopy
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsserver.objects import (
    InvalidObjectError,
    Kind,
    Namespace,
    Object,
    decode_document,
    decode_list,
    decode_object,
    decode_watch_event,
    kind_of,
    read_object,
)
from tests.build import (
    KINDS,
    Json,
    decoded,
    endpoint_json,
    endpoint_slice_json,
    namespace_json,
    port_json,
    service,
    service_json,
    vmi_json,
)

TYPES = [
    ("v1", "Namespace", Kind.NAMESPACE),
    ("v1", "Service", Kind.SERVICE),
    ("discovery.k8s.io/v1", "EndpointSlice", Kind.ENDPOINT_SLICE),
    ("kubevirt.io/v1", "VirtualMachineInstance", Kind.VMI),
    ("kubevirt.io/v1alpha3", "VirtualMachineInstance", Kind.VMI),
    ("kubevirt.io/v2", "VirtualMachineInstance", None),
    ("kubevirt.io/v1", "VirtualMachine", None),
    ("discovery.k8s.io/v1beta1", "EndpointSlice", None),
    ("v1", "ConfigMap", None),
    ("", "", None),
]


@pytest.mark.parametrize(("api_version", "name", "kind"), TYPES)
def test_kind_of(api_version: str, name: str, kind: Kind | None) -> None:
    """Only these types decide an answer."""
    assert kind_of(api_version, name) is kind


def test_api_paths() -> None:
    """Each kind knows its group, its versions, its resource and whether it lives in a namespace."""
    assert [(kind.group, kind.versions, kind.resource, kind.namespaced) for kind in KINDS] == [
        ("", ("v1",), "namespaces", False),
        ("", ("v1",), "services", True),
        ("discovery.k8s.io", ("v1",), "endpointslices", True),
        ("kubevirt.io", ("v1", "v1alpha3"), "virtualmachineinstances", True),
    ]


def test_namespace() -> None:
    """A Namespace is its name; its key has no namespace."""
    value = decoded(Kind.NAMESPACE, {"metadata": {"name": "ns1", "uid": None}, "spec": None})
    assert value == Namespace("ns1", "")
    assert value.key == ("", "ns1")


UNNAMED: list[tuple[str, bytes, tuple[str, str], str]] = [
    ("not JSON", b"{", ("", ""), "truncated"),
    ("empty", b"", ("", ""), "truncated"),
    ("null", b"null", ("", ""), "Expected `object`, got `null`"),
    ("a list", b"[]", ("", ""), "Expected `object`, got `array`"),
    ("nothing", b"{}", ("", ""), "missing required field `metadata`"),
    ("null metadata", b'{"metadata":null}', ("", ""), "$.metadata"),
    ("metadata of a wrong type", b'{"metadata":[]}', ("", ""), "$.metadata"),
    ("no name", b'{"metadata":{"namespace":"ns1"}}', ("ns1", ""), "missing required field `name`"),
    ("empty name", b'{"metadata":{"name":"","namespace":"ns1"}}', ("ns1", ""), "metadata.name is empty"),
    ("name of a wrong type", b'{"metadata":{"name":1,"namespace":"ns1"}}', ("ns1", ""), "$.metadata.name"),
    ("no namespace", b'{"metadata":{"name":"a"}}', ("", "a"), "metadata.namespace is empty"),
    ("null namespace", b'{"metadata":{"name":"a","namespace":null}}', ("", "a"), "metadata.namespace is empty"),
    ("namespace of a wrong type", b'{"metadata":{"name":"a","namespace":[]}}', ("", "a"), "$.metadata.namespace"),
    ("spec of a wrong type", b'{"metadata":{"name":"a","namespace":"b"},"spec":1}', ("b", "a"), "$.spec"),
]


@pytest.mark.parametrize(("raw", "key", "reason"), [row[1:] for row in UNNAMED], ids=[row[0] for row in UNNAMED])
def test_refused(raw: bytes, key: tuple[str, str], reason: str) -> None:
    """An object without what every kind needs is refused with the key as far as it can be read."""
    with pytest.raises(InvalidObjectError) as caught:
        decode_object(Kind.SERVICE, raw)
    assert (caught.value.kind, caught.value.key) == (Kind.SERVICE, key)
    assert reason in caught.value.reason
    assert "\n" not in str(caught.value)


def test_refusal_names_what_it_can() -> None:
    """The message has the kind and as much of the key as there is."""
    texts = []
    for raw in (b"{}", b'{"metadata":{"name":"a"}}', b'{"metadata":{"namespace":"b"}}'):
        with pytest.raises(InvalidObjectError) as caught:
            decode_object(Kind.SERVICE, raw)
        texts.append(str(caught.value).split(":")[0])
    assert texts == ["Service (unnamed)", "Service a", "Service b"]


READ_REFUSED: list[tuple[str, object, tuple[str, str]]] = [
    ("nothing", None, ("", "")),
    ("a text", "x", ("", "")),
    ("a list", [], ("", "")),
    ("a number as a key", {1: 2, "metadata": {"name": "a", "namespace": "b"}}, ("b", "a")),
    ("a number as a label", {"metadata": {"name": "a", "namespace": "b", "labels": {1: "x"}}}, ("b", "a")),
]


@pytest.mark.parametrize(("value", "key"), [row[1:] for row in READ_REFUSED], ids=[row[0] for row in READ_REFUSED])
def test_read_refused(value: object, key: tuple[str, str]) -> None:
    """What YAML may hold and JSON cannot is refused in the same way."""
    with pytest.raises(InvalidObjectError) as caught:
        read_object(Kind.VMI, value)
    assert caught.value.key == key


def body(items: object, meta: Json | None = None) -> bytes:
    """Return a list response."""
    value = {"kind": "ServiceList", "apiVersion": "v1", "metadata": meta or {}, "items": items}
    return json.dumps(value).encode()


def test_list_with_a_bad_item() -> None:
    """A bad item among good ones is refused by itself."""
    bad = {"metadata": {"name": "bad", "namespace": "ns1"}, "spec": {"ports": 1}}
    page = decode_list(
        Kind.SERVICE, body([service_json("a"), bad, service_json("b")], {"resourceVersion": "7", "continue": "c"})
    )
    assert page.objects == (service("a"), service("b"))
    assert [(one.key, one.reason) for one in page.refused] == [
        (("ns1", "bad"), "Expected `array | null`, got `int` - at `$.spec.ports`")
    ]
    assert (page.resource_version, page.continue_) == ("7", "c")


EMPTY_LISTS: list[tuple[str, bytes]] = [
    ("empty", body([])),
    ("null items", body(None)),
    ("no items", b"{}"),
    ("null metadata fields", body([], {"resourceVersion": None, "continue": None})),
]


@pytest.mark.parametrize("raw", [row[1] for row in EMPTY_LISTS], ids=[row[0] for row in EMPTY_LISTS])
def test_empty_list(raw: bytes) -> None:
    """`items: null` is an empty page; what the server does not send is the empty text."""
    page = decode_list(Kind.SERVICE, raw)
    assert (page.objects, page.refused, page.resource_version, page.continue_) == ((), (), "", "")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"<html>", b'{"items":{}}', b'{"items":[1,}'])
def test_no_list(raw: bytes) -> None:
    """A body that is no list at all is an error, never an empty list."""
    with pytest.raises(msgspec.DecodeError):
        decode_list(Kind.SERVICE, raw)


def test_watch_event() -> None:
    """A line's object is left for the decoder of its kind."""
    line = json.dumps({"type": "ADDED", "object": service_json(), "more": 1}).encode()
    event = decode_watch_event(line)
    assert event.type == "ADDED"
    assert decode_object(Kind.SERVICE, event.object) == service()


@pytest.mark.parametrize(
    "line", [b"", b"{", b"{}", b'{"type":"ADDED"}', b'{"object":{}}', b'{"type":null,"object":{}}', b"[]", b"1"]
)
def test_no_watch_event(line: bytes) -> None:
    """A line that is no event is an error."""
    with pytest.raises(msgspec.DecodeError):
        decode_watch_event(line)


def test_document() -> None:
    """A document says its type; a list carries its items undecoded."""
    document = decode_document(b'{"apiVersion":"v1","kind":"List","items":[{"kind":"Service"},1],"metadata":{}}')
    assert (document.api_version, document.kind) == ("v1", "List")
    assert [bytes(item) for item in document.items or ()] == [b'{"kind":"Service"}', b"1"]
    assert decode_document(b"{}").items is None


EXAMPLES: list[tuple[Kind, Json]] = [
    (Kind.NAMESPACE, namespace_json()),
    (Kind.SERVICE, service_json(ports=[port_json(80, "http", "TCP", "web")])),
    (Kind.SERVICE, service_json(external_name="a.org")),
    (
        Kind.ENDPOINT_SLICE,
        endpoint_slice_json(endpoint_json("10.0.0.1", "fd00::1", hostname="a", pod="p"), ports=[port_json(80)]),
    ),
    (
        Kind.VMI,
        vmi_json(
            hostname="web",
            deleting=True,
            annotations={"sidecar.istio.io/inject": "true"},
            pod_network={"vmNetworkCIDR": "10.9.0.0/16"},
            interface_ports=[port_json(22, "ssh")],
            addresses=["10.244.0.7", "fd00::7", "fe80::1"],
            migration={"targetNode": "node1", "endTimestamp": "2026-01-01T00:00:00Z", "completed": False},
        ),
    ),
]
IDS = ["Namespace", "Service", "ExternalName", "EndpointSlice", "VMI"]


@pytest.mark.parametrize(("kind", "value"), EXAMPLES, ids=IDS)
def test_yaml_and_json_agree(kind: Kind, value: Json) -> None:
    """An object is the same whether it comes as JSON or as YAML."""
    from_yaml = read_object(kind, yaml.safe_load(yaml.safe_dump(value)))
    assert from_yaml == decode_object(kind, json.dumps(value).encode())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "pod", "ready", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)
WORDS = st.sampled_from(["None", "Ready", "True", "IPv6", "10.0.0.1", "fe80::1", "default", "::", "0", ""])


def paths(value: object, prefix: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return where the values of a JSON document stand."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path for key, one in inner for path in [(*prefix, key), *paths(one, (*prefix, key))]]


def replaced(value: Json, path: tuple[str | int, ...], new: object) -> Json:
    """Return a copy of a document with one value replaced, as far as the place still exists."""
    result: Any = deepcopy(value)
    at = result
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return dict(result)


@st.composite
def broken(draw: st.DrawFn) -> tuple[Kind, Json]:
    """Draw an object with some of its fields replaced by something else."""
    kind, value = draw(st.sampled_from(EXAMPLES))
    for _ in range(draw(st.integers(1, 3))):
        value = replaced(value, draw(st.sampled_from(paths(value))), draw(JSON | WORDS))
    return kind, value


def outcome(kind: Kind, value: Json | bytes) -> Object | tuple[str, str]:
    """Return the object, or the key of the refusal."""
    try:
        return decode_object(kind, value) if isinstance(value, bytes) else read_object(kind, value)
    except InvalidObjectError as error:
        return error.key if error.kind is kind and error.reason else ("", "refused without a reason")


@settings(max_examples=300)
@given(broken())
def test_any_object(case: tuple[Kind, Json]) -> None:
    """Whatever stands in an object, it is taken or refused, and JSON and YAML agree which."""
    kind, value = case
    assert outcome(kind, json.dumps(value).encode()) == outcome(kind, value)


@settings(max_examples=100)
@given(JSON, st.sampled_from(Kind))
def test_any_json(value: object, kind: Kind) -> None:
    """Any JSON at all is an object or refused, in a list and in a watch event too."""
    raw = json.dumps(value).encode()
    outcome(kind, raw)
    items = decode_list(kind, json.dumps({"items": [value, value]}).encode())
    assert len(items.objects) + len(items.refused) == 2
    assert bytes(decode_watch_event(b'{"type":"ADDED","object":' + raw + b"}").object) == raw


@settings(max_examples=100)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text(text: str) -> None:
    """Any text is refused, or is JSON that holds no object."""
    assert outcome(Kind.VMI, text.encode()) == ("", "")
    for decode in (lambda raw: decode_list(Kind.VMI, raw), decode_watch_event, decode_document):
        try:
            decode(text.encode())
        except msgspec.DecodeError:
            continue
