"""Lists cut up while they come: the same items as a parser finds, whatever the chunks and the order of fields."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.objects import Kind
from dnsserver.sources.envelopes import decode_list_body
from dnsserver.sources.faults import FaultError, Trouble
from dnsserver.sources.listing import PART, ItemCutter, ListPage
from tests.fakes.api_mirror import mirrored
from tests.fakes.api_server import VMIS, FakeApiServer
from tests.sources.conftest import MakeWatch
from tests.sources.test_watch import vmi

TEXT = st.text(st.sampled_from('ab"\\{}[]:, \n\x1f\u00e9\U0001f600') | st.characters(codec="utf-8"), max_size=12)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=25,
)
ITEMS = st.lists(st.dictionaries(TEXT, VALUES, max_size=5), max_size=12)


def cut(chunks: list[bytes]) -> tuple[list[Any], bytes]:
    """Return the items that were cut out, parsed, and the rest."""
    cutter = ItemCutter()
    items = [json.loads(bytes(raw)) for chunk in chunks for raw in cutter.feed(chunk)]
    return items, cutter.rest()


def in_chunks(body: bytes, first: int, size: int) -> list[bytes]:
    """Cut octets up."""
    return [body[:first], *(body[at : at + size] for at in range(first, len(body), size))]


@given(
    items=ITEMS,
    size=st.integers(1, 40),
    ascii_only=st.booleans(),
    indent=st.none() | st.integers(0, 2),
    typed=st.booleans(),
)
def test_same_items_as_a_parser(items: list[Any], size: int, ascii_only: bool, indent: int | None, typed: bool) -> None:
    """Built-in resources have their metadata before the items, custom ones after."""
    around = {"kind": "PodList", "metadata": {"resourceVersion": "7", "continue": "{"}}
    value = around | {"items": items} if typed else {"items": items} | around
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    first = body.index(b'"items"') + 12
    found, rest = cut(in_chunks(body, first, size))
    assert found == items
    left = decode_list_body(rest)
    assert (left.kind, left.metadata.resource_version, left.items) == ("PodList", "7", [])


@given(items=ITEMS, keep=st.integers(0, 10_000))
def test_a_list_cut_off_is_no_list(items: list[Any], keep: int) -> None:
    """However many items came before: what is left around them does not parse."""
    body = json.dumps({"items": items, "kind": "PodList", "metadata": {}}).encode()
    _, rest = cut(in_chunks(body[: min(keep, len(body) - 1)], 10, 7))
    with pytest.raises(msgspec.DecodeError):
        decode_list_body(rest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>{}</html>",
        '{"kind": "PodList", "metadata": {}}',
        '{"kind": "PodList", "metadata": {"items": [{"a": 1}]}}',
        '{"items": [null, {"a": 1}], "kind": "PodList", "metadata": {}}',
        '{"items": {"a": 1}, "kind": "PodList", "metadata": {}}',
    ],
)
def test_anything_else_is_left_to_the_parser(text: str) -> None:
    """What is not cut out is still there: nothing is lost, and nothing that is no item becomes one in silence."""
    found, rest = cut(in_chunks(text.encode(), len(text), 5))
    assert not found or b'"a"' not in rest
    if not found:
        assert rest == text.encode()


def test_deep_nesting_costs_no_recursion() -> None:
    """Ten thousand levels, as the API server takes them."""
    item = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    cutter = ItemCutter()
    assert [bytes(raw) for raw in cutter.feed(b'{"items":[' + item + b"]}")] == [item]


class Answer:
    """An answer in chunks."""

    status = 200
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    async def read(self) -> bytes:
        """Return all of it."""
        return b"".join(self._chunks)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield it."""
        for chunk in self._chunks:
            yield chunk


class OneAnswer:
    """An API server that answers once."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._answer = Answer(chunks)

    @asynccontextmanager
    async def request(self, path: str, query: object, *, read_timeout: float) -> AsyncIterator[Any]:
        """Answer."""
        yield self._answer


def long_list(count: int, kind: str = "PodList", end: str = "") -> Iterator[bytes]:
    """Yield a list of more octets than are parsed in one go."""
    yield b'{"apiVersion":"v1","items":['
    for number in range(count):
        yield (b"," if number else b"") + json.dumps({"metadata": {"name": f"p{number}", "x": "y" * 5000}}).encode()
    yield f'],"kind":"{kind}","metadata":{{"resourceVersion":"9"}}}}{end}'.encode()


async def test_a_long_page_comes_in_parts() -> None:
    """Every item, in order, never more than `PART` at once, and the metadata at the end."""
    page = ListPage(OneAnswer(list(long_list(2000))), Kind.POD, "", {}, read_timeout=1.0)
    parts = [part async for part in page.parts()]
    assert max(map(len, parts)) <= PART
    names = [msgspec.json.decode(raw)["metadata"]["name"] for part in parts for raw in part]
    assert names == [f"p{number}" for number in range(2000)]
    assert page.metadata.resource_version == "9"


@pytest.mark.parametrize("damage", [{"kind": "Table"}, {"end": "}"}])
async def test_a_long_page_that_is_no_list(damage: dict[str, str]) -> None:
    """It is known at its end only, and known then."""
    page = ListPage(OneAnswer(list(long_list(1000, **damage))), Kind.POD, "", {}, read_timeout=1.0)
    with pytest.raises(FaultError) as raised:
        async for _ in page.parts():
            pass
    assert raised.value.trouble is Trouble.NONSENSE


async def test_a_long_unpaged_list_over_http(api: FakeApiServer, make_watch: MakeWatch) -> None:
    """A watch cache ignores the limit; six megabytes arrive as a whole list all the same."""
    api.pages_any_age = False
    for number in range(600):
        value = vmi(f"vm{number}")
        value["metadata"]["annotations"] = {"note": '"}{[' * 2500}
        api.put(value)
    async with mirrored(make_watch()) as mirror:
        await mirror.until_listed()
    assert len(mirror.current) == 600
    assert len(api.asked(VMIS, "list")) == 1
