"""The bytes of a manifest file to the objects in it, each with its line; no I/O.

YAML (one document or several) and JSON (one value or several, NDJSON included) give the same items. A list is its
items: `kind: List` as kubectl prints it, and the API's own typed lists, whose items leave out what the list has said.
Of a key that stands twice the last value counts, as for kubectl.
"""

import codecs
import re
from collections.abc import Iterator

import msgspec
import yaml

from dnsserver.objects import (
    Further,
    InvalidObjectError,
    Key,
    Kind,
    Object,
    decode_document,
    decode_object,
    kind_of,
    read_object,
)

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # pragma: no cover -- PyYAML was built without libyaml: slower, the same result
    from yaml import SafeLoader  # type: ignore[assignment]  # the two share what is used here, but no base class

_MAX_DEPTH = 200  # the C parser recurses without a limit of its own: 200,000 brackets end the process
_UTF8_SLICE = 1 << 20  # octets decoded in one go
_BOM = codecs.BOM_UTF8

_BLANK = re.compile(rb"[ \t\r\n]*")
_GAP = re.compile(rb"[ \t\r\n,]*")
_ITEMS = re.compile(rb'"items"[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*')
_OFFSET = re.compile(r" \(byte (\d+)\)$")


class Found(msgspec.Struct, frozen=True, gc=False):
    """An object."""

    line: int
    kind: Kind
    value: Object


class Refused(msgspec.Struct, frozen=True, gc=False):
    """An object that cannot be understood; the others of its file are not affected."""

    line: int
    kind: Kind
    key: Key  # as far as it can be read
    reason: str


class Ignored(msgspec.Struct, frozen=True, gc=False):
    """An object of a kind that decides no answer."""

    line: int


Item = Found | Refused | Ignored


class _Unread(msgspec.Struct, frozen=True, gc=False):
    """An object that has not been looked at yet."""

    line: int
    kind: Kind
    json: bytes | None  # its text, or else
    value: object  # what YAML has parsed


class BrokenDocumentError(ValueError):
    """A file that cannot be read as a whole."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


def read_items(body: bytes, *, json: bool = False, further: Further | None = None) -> Iterator[Item]:
    """Yield the items of a file in their order; `json` says that it can be nothing else.

    VMIs are read with their `further` interfaces if that is not None.

    Raises `BrokenDocumentError` where the file is not UTF-8, not YAML, not JSON, or has a document that is not a
    Kubernetes object. That can be after some items, which then count no more than the rest.
    """
    _check_utf8(body)
    if body.startswith(_BOM):
        body = body[len(_BOM) :]
    items = _json_items(body) if json or _looks_like_json(body) else _yaml_items(body)
    return (_read(one, further) if isinstance(one, _Unread) else one for one in items)


def _check_utf8(body: bytes) -> None:
    """Raise `BrokenDocumentError` where the file is not UTF-8.

    Neither parser looks at all of it: msgspec skips what is not needed, libyaml takes UTF-16 too. In slices, because
    one call would hold up every other thread.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(body) + 1, _UTF8_SLICE):
        end = start + _UTF8_SLICE
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(body[start:end], final=end > len(body))
        except UnicodeDecodeError as error:
            raise BrokenDocumentError(_line_at(body, start - pending + error.start), "not UTF-8") from error


def _line_at(body: bytes, offset: int) -> int:
    """Return the line that an offset is on."""
    return body.count(b"\n", 0, offset) + 1


def _checked_type(api_version: str, kind: str, line: int) -> None:
    """Raise `BrokenDocumentError` where a document does not say what it is."""
    for field, value in (("kind", kind), ("apiVersion", api_version)):
        if not value:
            raise BrokenDocumentError(line, f"not a Kubernetes object: no {field}")


def _item_type(api_version: str, kind: str) -> tuple[str, str]:
    """Return the type that a list gives items without one: a ServiceList holds Services, a List says nothing."""
    return ("", "") if kind == "List" else (api_version, kind.removesuffix("List"))


# YAML


class _Loader(SafeLoader):
    """PyYAML's loader, with timestamps and `=` left as the strings that they are to Kubernetes, and a depth limit."""

    yaml_implicit_resolvers = {  # noqa: RUF012 -- the loader's own attribute, which it declares without ClassVar
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")
        ]
        for first, resolvers in SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self._depth = 0

    def descend_resolver(self, current_node: yaml.Node | None, current_index: object) -> None:  # noqa: ARG002 -- theirs
        """Count one level down: both composers call this before they recurse."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            mark = current_node.start_mark if current_node else None
            raise yaml.composer.ComposerError(None, None, f"nested deeper than {_MAX_DEPTH} levels", mark)

    def ascend_resolver(self) -> None:
        """Count one level up."""
        self._depth -= 1


def _yaml_items(body: bytes) -> Iterator[Ignored | _Unread]:
    """Yield the items of a YAML file; empty documents are skipped."""
    loader = _Loader(body)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None and node.tag != "tag:yaml.org,2002:null":
                yield from _node_items(loader, node, ("", ""))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = min(mark.line + 1, _line_at(body, len(body))) if mark else 1  # the end of the file is not a line more
        raise BrokenDocumentError(line, f"not YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        line = _line_at(body, error.position)
        raise BrokenDocumentError(line, f"not YAML: {error.reason}") from error
    except RecursionError as error:
        raise BrokenDocumentError(1, "nested too deeply") from error
    finally:
        loader.dispose()


def _node_items(loader: _Loader, node: yaml.Node, default: tuple[str, str]) -> Iterator[Ignored | _Unread]:
    """Yield the items of one document or list item; only those of a known kind are ever built."""
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise BrokenDocumentError(line, "not a Kubernetes object: not a mapping")
    loader.flatten_mapping(node)
    fields = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    api_version = _text(fields.get("apiVersion")) or default[0]
    name = _text(fields.get("kind")) or default[1]
    _checked_type(api_version, name, line)
    items = fields.get("items")
    if name == "List" or (name.endswith("List") and isinstance(items, yaml.SequenceNode)):
        for item in items.value if isinstance(items, yaml.SequenceNode) else ():
            yield from _node_items(loader, item, _item_type(api_version, name))
    elif (kind := kind_of(api_version, name)) is None:
        yield Ignored(line)
    else:
        yield _Unread(line, kind, None, _construct(loader, node, line))


def _text(node: yaml.Node | None) -> str:
    """Return a scalar's text, "" for anything that is not a string."""
    return node.value if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str" else ""


def _construct(loader: _Loader, node: yaml.Node, line: int) -> object:
    """Return the value of one node."""
    try:
        return loader.construct_document(node)
    except yaml.YAMLError:
        raise
    except Exception as error:  # `!!int x`, `!!bool x`, `!!timestamp x`: each fails in its own way
        raise BrokenDocumentError(line, f"not YAML: {type(error).__name__}: {error}") from error


# JSON

_VALUE = msgspec.json.Decoder(msgspec.Raw)


def _looks_like_json(body: bytes) -> bool:
    """Say whether a file of any name is JSON: kubectl takes what starts with a brace for JSON, and YAML may as well.

    Fast JSON matters more than YAML's flow style, so a value that is merely cut short counts as JSON.
    """
    start = _skip(_BLANK, body, 0)
    if body[start : start + 1] != b"{":
        return False
    try:
        end = start + _end_of_value(memoryview(body)[start:])
    except RecursionError:
        return True
    except msgspec.DecodeError as error:
        return _OFFSET.search(str(error)) is None
    after = _skip(_BLANK, body, end)
    return body[after : after + 1] in (b"", b"{")


def _skip(pattern: re.Pattern[bytes], body: bytes, offset: int) -> int:
    """Return the offset of what follows the gap at `offset`."""
    match = pattern.match(body, offset)
    return match.end() if match else offset


def _end_of_value(view: memoryview) -> int:
    """Return where the first JSON value of some bytes ends. Raises `msgspec.DecodeError`."""
    try:
        _VALUE.decode(view)
    except msgspec.DecodeError as error:
        offset = _OFFSET.search(str(error))
        if "trailing characters" not in str(error) or offset is None:
            raise
        return int(offset[1]) - 1  # msgspec counts the character that it stumbled over
    return len(view)


def _json_items(body: bytes) -> Iterator[Ignored | _Unread]:
    """Yield the items of a JSON file: one value, or several one after the other."""
    line, position = 1, 0
    while (start := _skip(_BLANK, body, position)) < len(body):
        line += body.count(b"\n", position, start)
        try:
            position = start + _end_of_value(memoryview(body)[start:])
            yield from _value_items(body[start:position], line, ("", ""))
        except msgspec.DecodeError as error:
            raise _broken_json(body, start, error) from error
        except RecursionError as error:
            raise BrokenDocumentError(line, "nested too deeply") from error
        line += body.count(b"\n", start, position)


def _broken_json(body: bytes, start: int, error: msgspec.DecodeError) -> BrokenDocumentError:
    """Return the error with its line; a value cut short is wrong at the end of the file."""
    offset = _OFFSET.search(str(error))
    reason = _OFFSET.sub("", str(error)).removeprefix("JSON is malformed: ")
    end = max(start, start + int(offset[1]) - 1) if offset else len(body.rstrip())
    return BrokenDocumentError(_line_at(body, end), f"not JSON: {reason}")


def _value_items(raw: bytes, line: int, default: tuple[str, str]) -> Iterator[Ignored | _Unread]:
    """Yield the items of one JSON value."""
    try:
        document = decode_document(raw)
    except msgspec.ValidationError as error:
        raise BrokenDocumentError(line, f"not a Kubernetes object: {error}") from error
    api_version = document.api_version or default[0]
    name = document.kind or default[1]
    _checked_type(api_version, name, line)
    if name == "List" or (name.endswith("List") and document.items is not None):
        yield from _list_items(bytes(raw), document.items or [], line, _item_type(api_version, name))
    elif (kind := kind_of(api_version, name)) is None:
        yield Ignored(line)
    else:
        yield _Unread(line, kind, raw, None)


def _list_items(
    text: bytes, items: list[msgspec.Raw], line: int, default: tuple[str, str]
) -> Iterator[Ignored | _Unread]:
    """Yield the items of a JSON list. Their lines are counted from one to the next, so that each octet is read once."""
    counted, position = 0, _first_item(text, items)
    for raw in items:
        if position:
            start = _skip(_GAP, text, position)
            line += text.count(b"\n", counted, start)
            counted, position = start, start + len(raw)
        yield from _value_items(raw, line, default)


def _first_item(text: bytes, items: list[msgspec.Raw]) -> int:
    """Return the offset of a list's first item, 0 where it cannot be told: then the list's line stands for all."""
    first = bytes(items[0]) if items else b""
    starts = (match.end() for match in _ITEMS.finditer(text))
    return next((start for start in starts if text.startswith(first, start)), 0)


# Objects


def _read(one: _Unread, further: Further | None) -> Item:
    """Return one object."""
    kind, text = one.kind, one.json
    try:
        value = read_object(kind, one.value, further) if text is None else decode_object(kind, text, further)
    except InvalidObjectError as error:
        return _refused(one.line, error)
    return Found(one.line, kind, value)


def _refused(line: int, error: InvalidObjectError) -> Refused:
    """Return what stays of an error: the exception itself would hold the whole file in memory."""
    namespace, name = error.key
    key = (namespace if error.kind.namespaced else "", name)
    return Refused(line, error.kind, key, error.reason)
