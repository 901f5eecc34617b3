"""What the API server wraps around objects: lists, errors, the head of an event, discovery; no I/O.

The views are as lenient as the code that reads them allows: a field that may hold nonsense in a broken object is left
untyped and checked where it is used.
"""

from typing import Any, Literal

import msgspec

from dnsserver.objects import Key, Kind
from dnsserver.sources.nesting import prune


class _View(msgspec.Struct, rename="camel", gc=False):
    """Base of the views: absent and unknown fields are fine."""


class ListMeta(_View):
    """A list's metadata."""

    resource_version: str | None = None
    continue_: str | None = msgspec.field(default=None, name="continue")


class ListBody(_View):
    """One page of a list, its items undecoded.

    The list's own kind matters: a Table or a Status has no items either, and must not pass for an empty list.
    """

    kind: str
    metadata: ListMeta
    items: list[msgspec.Raw] | None = None


class Cause(_View):
    """One cause of a Status."""

    reason: str | None = None


class Details(_View):
    """The details of a Status."""

    causes: list[Cause] | None = None
    retry_after_seconds: int | None = None


class Status(_View):
    """What the API server says when it refuses."""

    code: int | None = None
    reason: str | None = None
    message: str | None = None
    details: Details | None = None


class _HeadMeta(_View):
    name: Any = None
    namespace: Any = None
    uid: Any = None
    resource_version: Any = None


class _HeadView(_View):
    kind: Any = None
    metadata: _HeadMeta = msgspec.field(default_factory=_HeadMeta)


class _BookmarkMeta(_View):
    annotations: Any = None


class _Bookmark(_View):
    metadata: _BookmarkMeta = msgspec.field(default_factory=_BookmarkMeta)


class Head(msgspec.Struct, frozen=True, gc=False):
    """Who an object of a watch event is, whatever else is wrong with it; "" where a part cannot be read."""

    kind: str
    key: Key
    uid: str
    resource_version: str


class GroupVersion(_View):
    """A version of an API group."""

    version: str


class APIGroup(_View):
    """What discovery says of a group; the kind matters, as any JSON object would do for a group without versions."""

    kind: Literal["APIGroup"]
    versions: list[GroupVersion] | None = None


class APIResource(_View):
    """A resource of a group's version."""

    name: str


class APIResourceList(_View):
    """What discovery says of a group's version."""

    kind: Literal["APIResourceList"]
    resources: list[APIResource] | None = None


_LIST = msgspec.json.Decoder(ListBody)
_STATUS = msgspec.json.Decoder(Status)
_HEAD = msgspec.json.Decoder(_HeadView)
_BOOKMARK = msgspec.json.Decoder(_Bookmark)
_GROUP = msgspec.json.Decoder(APIGroup)
_RESOURCES = msgspec.json.Decoder(APIResourceList)


def decode_list_body(body: bytes) -> ListBody:
    """Parse one page of a list. Raises `ValueError`."""
    return _LIST.decode(body)


def decode_status(body: bytes | msgspec.Raw) -> Status:
    """Parse a Status; an empty one where the body is something else (a load balancer's page, say)."""
    try:
        return _STATUS.decode(body)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return Status()


def decode_head(kind: Kind, raw: msgspec.Raw) -> Head:
    """Parse who an object is. Never raises: what cannot be read is ""."""
    try:
        view = _head(raw)
    except ValueError:  # msgspec's errors are ValueErrors
        return Head("", ("", ""), "", "")
    meta = view.metadata
    namespace = _text(meta.namespace) if kind.namespaced else ""
    return Head(_text(view.kind), (namespace, _text(meta.name)), _text(meta.uid), _text(meta.resource_version))


def ends_initial_events(raw: msgspec.Raw) -> bool:
    """Say whether a bookmark marks the end of what a streamed list consists of (KEP-3157). Never raises."""
    try:
        annotations = _BOOKMARK.decode(raw).metadata.annotations
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return False
    return isinstance(annotations, dict) and annotations.get("k8s.io/initial-events-end") == "true"


def decode_group(body: bytes) -> APIGroup:
    """Parse an APIGroup. Raises `ValueError`."""
    return _GROUP.decode(body)


def decode_resources(body: bytes) -> APIResourceList:
    """Parse an APIResourceList. Raises `ValueError`."""
    return _RESOURCES.decode(body)


def is_named(kind: Kind, key: Key) -> bool:
    """Say whether a key is complete enough to name an object of this kind."""
    namespace, name = key
    return bool(name) and (bool(namespace) or not kind.namespaced)


def comparable(resource_version: str) -> int | None:
    """Return a resourceVersion as a number, None where it is none.

    Kubernetes lets clients compare those of one resource as decimal integers (KEP-5504).
    """
    return int(resource_version) if resource_version.isascii() and resource_version.isdecimal() else None


def _head(raw: msgspec.Raw) -> _HeadView:
    """Parse a head. Raises `ValueError`."""
    try:
        return _HEAD.decode(raw)
    except RecursionError:
        return _HEAD.decode(prune(bytes(raw)))


def _text(value: object) -> str:
    """Return a text, "" for anything else."""
    return value if isinstance(value, str) else ""
