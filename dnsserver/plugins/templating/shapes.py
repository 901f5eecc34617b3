"""What a template knows about values before there are any, and how values print; no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum


class TemplateError(ValueError):
    """A template that cannot be used; the text names what is wrong in it."""


class TemplateFailure(Exception):  # noqa: N818  # it is CoreDNS's word: coredns_template_template_failures_total
    """A template that failed on this query, such as at a number that is none."""


class NoValue:
    """What a map's field is where the map has no such key."""

    def __bool__(self) -> bool:
        return False


NO_VALUE = NoValue()
Value = str | int | bool | Sequence["Value"] | Mapping[str, "Value"] | NoValue


class Kind(Enum):
    """Kinds of values, in Go's words."""

    STRING = "string"
    INT = "integer"
    BOOL = "boolean"
    LIST = "slice"
    MAP = "map"
    RECORD = "struct"
    METHOD = "method"
    ANY = "value of a kind that depends on the query"


@dataclass(frozen=True, slots=True)
class Shape:
    """The kind of a value, and the shapes of what it holds."""

    kind: Kind
    element: "Shape | None" = None  # of a list or a map
    fields: "Mapping[str, Shape]" = field(default_factory=dict)  # of a record


STRING, INT, BOOL, ANY, METHOD = (Shape(kind) for kind in (Kind.STRING, Kind.INT, Kind.BOOL, Kind.ANY, Kind.METHOD))
_QUESTION = Shape(Kind.RECORD, fields={"Name": STRING, "Qtype": INT, "Qclass": INT})
# bits of a message, as CoreDNS's library names them
_FLAGS = ("Response", "Authoritative", "Truncated", "RecursionDesired", "RecursionAvailable", "CheckingDisabled")
ROOT = Shape(
    Kind.RECORD,
    fields={
        **dict.fromkeys(("Zone", "Name", "Class", "Type", "Regex", "Remote"), STRING),
        "Match": Shape(Kind.LIST, STRING),
        "Group": Shape(Kind.MAP, STRING),
        "Meta": METHOD,
        "Question": _QUESTION,
        "Message": Shape(
            Kind.RECORD,
            fields={
                **dict.fromkeys(("Id", "Opcode", "Rcode"), INT),
                **dict.fromkeys(_FLAGS, BOOL),
                "Question": Shape(Kind.LIST, _QUESTION),
            },
        ),
    },
)


def field_shape(shape: Shape, name: str, source: str) -> Shape:
    """Return the shape of a field; raises `TemplateError` where there is none."""
    if shape.kind is Kind.MAP and shape.element is not None:
        return shape.element
    found = shape.fields.get(name)
    if found is None:
        if shape.kind is Kind.RECORD:
            raise TemplateError(f"'{source}' has no field {name}, expecting one of {', '.join(shape.fields)}")
        raise TemplateError(f"'{source}' is a {shape.kind.value} and has no field {name}")
    return found


def get_field(value: Value, name: str) -> Value:
    """Return a field of a record or a map."""
    assert isinstance(value, Mapping)  # noqa: S101  # `field_shape` has seen to that
    return value.get(name, NO_VALUE)


def is_true(value: Value) -> bool:
    """Say whether a condition holds: what is empty or zero does not."""
    return bool(value)


def printable(shape: Shape, source: str) -> None:
    """Raise `TemplateError` for a value that has no text of its own."""
    inner = shape.element
    if shape.kind in (Kind.RECORD, Kind.METHOD) or (inner is not None and inner.kind is Kind.RECORD):
        raise TemplateError(f"'{source}' is a {shape.kind.value} and cannot be printed")


def to_string(value: Value) -> str:
    """Return a value as Go's %v prints it."""
    match value:
        case bool():
            return "true" if value else "false"
        case NoValue():
            return "<no value>"
        case str() | int():
            return str(value)
        case Mapping():
            return f"map[{' '.join(f'{key}:{to_string(value[key])}' for key in sorted(value))}]"
        case _:
            return f"[{' '.join(map(to_string, value))}]"
