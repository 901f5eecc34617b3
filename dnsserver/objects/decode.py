"""From JSON or parsed YAML to slim objects, one at a time; no I/O."""

from collections.abc import Callable
from typing import Any

import msgspec

from dnsserver.objects.endpointslice import EndpointSlice, EndpointSliceView, endpoint_slice
from dnsserver.objects.kinds import Key, Kind
from dnsserver.objects.namespace import Namespace, NamespaceView, namespace
from dnsserver.objects.pod import Pod, PodView, pod
from dnsserver.objects.service import Service, ServiceView, service
from dnsserver.objects.serviceimport import ServiceImportView, service_import
from dnsserver.objects.views import View
from dnsserver.objects.vmi import VirtualMachineInstance, virtual_machine_instance, wired_instance
from dnsserver.objects.vmi_further import Further
from dnsserver.objects.vmi_view import VMIView

Slim = Service | EndpointSlice | VirtualMachineInstance | Namespace | Pod


class InvalidObjectError(ValueError):
    """An object that cannot be understood; it is refused by itself, with the field that is wrong."""

    def __init__(self, kind: Kind, key: Key, reason: str) -> None:
        super().__init__(f"{kind.value} {'/'.join(part for part in key if part) or '(unnamed)'}: {reason}")
        self.kind = kind
        self.key = key  # as far as it can be read; parts that cannot are ""
        self.reason = reason


class Document(msgspec.Struct, rename="camel", gc=False):
    """What any Kubernetes document says of its own type; a list carries its items."""

    api_version: str = ""
    kind: str = ""
    items: list[msgspec.Raw] | None = None


class ListMeta(View):
    """A list's metadata: where a watch goes on from, and the token of the next page."""

    resource_version: str | None = None
    continue_: str | None = msgspec.field(default=None, name="continue")


class _ListView(View):
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[msgspec.Raw] | None = None


class ListPage(msgspec.Struct, frozen=True, gc=False):
    """One page of a list."""

    objects: tuple[Slim, ...]
    refused: tuple[InvalidObjectError, ...]
    resource_version: str  # "" where the server sent none
    continue_: str  # "" on the last page


class WatchEvent(View):
    """One line of a watch; `object` stays undecoded until its type is known."""

    type: str
    object: msgspec.Raw


_VIEWS: dict[Kind, type[View]] = {
    Kind.NAMESPACE: NamespaceView,
    Kind.SERVICE: ServiceView,
    Kind.ENDPOINT_SLICE: EndpointSliceView,
    Kind.VMI: VMIView,
    Kind.POD: PodView,
    Kind.SERVICE_IMPORT: ServiceImportView,
}
_DECODERS: dict[Kind, msgspec.json.Decoder[Any]] = {kind: msgspec.json.Decoder(view) for kind, view in _VIEWS.items()}
_BUILDERS: dict[Kind, Callable[[Any], Slim]] = {
    Kind.NAMESPACE: namespace,
    Kind.SERVICE: service,
    Kind.ENDPOINT_SLICE: endpoint_slice,
    Kind.VMI: virtual_machine_instance,
    Kind.POD: pod,
    Kind.SERVICE_IMPORT: service_import,
}
# what hostile input makes msgspec raise: its own errors and those of UTF-8 are ValueErrors, deep nesting is the other
_UNREADABLE = (ValueError, RecursionError)

_LIST = msgspec.json.Decoder(_ListView)
_EVENT = msgspec.json.Decoder(WatchEvent)
_DOCUMENT = msgspec.json.Decoder(Document)


def decode_object(kind: Kind, raw: bytes | msgspec.Raw, further: Further | None = None) -> Slim:
    """Parse the JSON of one object; `further` says which further interfaces a VMI keeps, None: none of them.

    Raises `InvalidObjectError`.
    """
    try:
        return _build(kind, _DECODERS[kind].decode(raw), further)
    except _UNREADABLE as error:
        raise InvalidObjectError(kind, _key_in_json(raw), _reason(error)) from error


def read_object(kind: Kind, value: object, further: Further | None = None) -> Slim:
    """Take one object that YAML has already parsed, like `decode_object`. Raises `InvalidObjectError`."""
    try:
        return _build(kind, msgspec.convert(value, _VIEWS[kind]), further)
    except _UNREADABLE as error:
        raise InvalidObjectError(kind, _key_in_value(value), _reason(error)) from error


def decode_list(kind: Kind, body: bytes) -> ListPage:
    """Parse one page of a list. `items: null` is an empty page.

    Raises `msgspec.DecodeError` where the body as a whole is not a list; one bad item is only refused by itself.
    """
    view = _LIST.decode(body)
    objects, refused = [], []
    for raw in view.items or ():
        try:
            objects.append(decode_object(kind, raw))
        except InvalidObjectError as error:
            refused.append(error)
    meta = view.metadata
    return ListPage(tuple(objects), tuple(refused), meta.resource_version or "", meta.continue_ or "")


def decode_watch_event(line: bytes) -> WatchEvent:
    """Parse one line of a watch, its object left as it is. Raises `msgspec.DecodeError`."""
    return _EVENT.decode(line)


def decode_document(body: bytes | msgspec.Raw) -> Document:
    """Parse what a JSON document says of its type, and a list's items undecoded. Raises `msgspec.DecodeError`."""
    return _DOCUMENT.decode(body)


def _build(kind: Kind, view: Any, further: Further | None) -> Slim:
    """Return the slim object of a view; what no kind may lack is checked here."""
    if not view.metadata.name:
        raise ValueError("metadata.name is empty")
    if kind.namespaced and not view.metadata.namespace:
        raise ValueError("metadata.namespace is empty")
    if further is not None and kind is Kind.VMI:
        return wired_instance(view, further)
    return _BUILDERS[kind](view)


def _reason(error: Exception) -> str:
    """Return an error's text on one line."""
    return " ".join(str(error).split())


def _key_in_json(raw: bytes | msgspec.Raw) -> Key:
    """Return the key of an object that may be wrong anywhere."""
    try:
        return _key_in_value(msgspec.json.decode(raw))
    except _UNREADABLE:
        return "", ""


def _key_in_value(value: object) -> Key:
    """Return the key as far as the metadata can be read."""
    metadata = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(metadata, dict):
        return "", ""
    namespace, name = metadata.get("namespace"), metadata.get("name")
    return namespace if isinstance(namespace, str) else "", name if isinstance(name, str) else ""
