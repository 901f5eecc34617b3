"""A whole template: text, actions, conditions and loops, as functions that add to a list of text; no I/O."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dnsserver.plugins.templating.expressions import Expression, Frame, Reader, Scope
from dnsserver.plugins.templating.lexer import Piece, split
from dnsserver.plugins.templating.shapes import (
    INT,
    STRING,
    Kind,
    Shape,
    TemplateError,
    TemplateFailure,
    Value,
    is_true,
    printable,
    to_string,
)

_MAX_OUTPUT = 100_000  # pieces of text: loops inside loops end here
_REFUSED = frozenset({"block", "break", "continue", "define", "template"})

Run = Callable[[Frame, list[str]], None]


@dataclass(frozen=True, slots=True)
class Node:
    """One part of a template, and how Go's template prints its source."""

    run: Run
    source: str


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template."""

    source: str  # as Go prints it, and as CoreDNS's metrics name it
    uses_metadata: bool
    _nodes: tuple[Node, ...]
    _variables: int

    def execute(self, data: Mapping[str, Value]) -> str:
        """Return the text for one query; raises `TemplateFailure`."""
        out: list[str] = []
        frame = Frame(data, data, [""] * self._variables)
        for node in self._nodes:
            node.run(frame, out)
        return "".join(out)


def parse_template(text: str) -> Template:
    """Parse a template whose data has the shape `ROOT`; raises `TemplateError`."""
    parser = _Parser(split(text))
    scope = Scope()
    try:
        nodes = parser.nodes(scope)
    except RecursionError as error:
        raise TemplateError("the template is nested too deeply") from error
    if parser.stopped is not None:
        raise TemplateError(f"unexpected '{parser.stopped.text}'")
    source = "".join(node.source for node in nodes)
    return Template(source, ".Meta " in source, tuple(nodes), scope.count[0])


class _Parser:
    """Turns pieces into nodes."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._pieces = iter(pieces)
        self.stopped: Piece | None = None  # the `else` or `end` that the last list of nodes ended with

    def nodes(self, scope: Scope) -> list[Node]:
        """Return the nodes up to an `else`, an `end` or the end of the template."""
        found = []
        for piece in self._pieces:
            if piece.tokens is None:
                if piece.text:
                    found.append(_text(piece.text))
                continue
            reader = Reader(piece.tokens, scope, piece.text)
            word = reader.peek().text if reader.peek().kind == "word" else ""
            if word in ("else", "end"):
                self.stopped = piece
                return found
            found.append(self._node(word, reader, scope))
        self.stopped = None
        return found

    def _node(self, word: str, reader: Reader, scope: Scope) -> Node:
        if word in _REFUSED:
            raise reader.error(f"'{word}' is not supported")
        if word in ("if", "with", "range"):
            reader.take()
            inner = scope.inner()
            return self._range(reader, inner) if word == "range" else self._condition(word, reader, inner)
        return _action(reader, scope)

    def _rest(self, scope: Scope, opener: str) -> tuple[list[Node], bool]:
        """Return the nodes of a block up to its `end` or `else`, and whether there is an `else`."""
        found = self.nodes(scope)
        if self.stopped is None:
            raise TemplateError(f"'{opener}' without its '{{{{end}}}}'")
        return found, bool(self.stopped.tokens and self.stopped.tokens[0].text == "else")

    def _else(self, scope: Scope, opener: str) -> list[Node]:
        """Return the nodes behind an `else`, which may be a condition of its own."""
        assert self.stopped is not None  # noqa: S101  # only called behind an `else`
        assert self.stopped.tokens is not None  # noqa: S101  # which is an action
        reader = Reader(self.stopped.tokens[1:], scope, self.stopped.text)
        if reader.peek().text == "if" and opener.startswith("if"):
            reader.take()
            return [self._condition("if", reader, scope.inner())]
        reader.end()
        found, again = self._rest(scope, opener)
        if again:
            raise TemplateError(f"a second 'else' for '{opener}'")
        return found

    def _condition(self, word: str, reader: Reader, scope: Scope) -> Node:
        """Return `if` or `with`; the latter makes its value the dot."""
        slot, pipe, source = _declaration(reader, scope)
        opener = f"{word} {source}"
        body, has_else = self._rest(scope.inner(pipe.shape if word == "with" else None), opener)
        other = self._else(scope.inner(), opener) if has_else else []

        def run(frame: Frame, out: list[str]) -> None:
            value = pipe.evaluate(frame)
            if slot is not None:
                frame.variables[slot] = value
            if not is_true(value):
                _run_all(other, frame, out)
            elif word == "with":
                _run_with(body, value, frame, out)
            else:
                _run_all(body, frame, out)

        return Node(run, _block_source(opener, body, other))

    def _range(self, reader: Reader, scope: Scope) -> Node:
        names = []
        while reader.peek().kind == "variable" and reader.peek(1).text in (",", ":="):
            names.append(reader.take().text)
            if reader.take().text == ":=":
                break
        pipe = reader.pipeline()
        reader.end()
        key, element = _range_shapes(pipe, reader)
        if len(names) > 2:
            raise reader.error("a range has at most two variables")
        shapes = (key, element) if len(names) == 2 else (element,)
        inner = scope.inner(element)
        slots = [inner.declare(name, shape) for name, shape in zip(names, shapes, strict=False)]
        opener = f"range {', '.join(names)}{' := ' if names else ''}{pipe.source}"
        body, has_else = self._rest(inner, opener)
        other = self._else(scope.inner(), opener) if has_else else []

        def run(frame: Frame, out: list[str]) -> None:
            pairs = _pairs(pipe.evaluate(frame))
            if not pairs:
                _run_all(other, frame, out)
            for pair in pairs:
                for slot, value in zip(slots, pair if len(slots) == 2 else pair[1:], strict=False):
                    frame.variables[slot] = value
                _run_with(body, pair[1], frame, out)

        return Node(run, _block_source(opener, body, other))


def _text(text: str) -> Node:
    def run(frame: Frame, out: list[str]) -> None:
        del frame
        _add(text, out)

    return Node(run, text)


def _add(text: str, out: list[str]) -> None:
    if len(out) >= _MAX_OUTPUT:
        raise TemplateFailure(f"more than {_MAX_OUTPUT} pieces of text")
    out.append(text)


def _action(reader: Reader, scope: Scope) -> Node:
    """Return an action that prints a pipeline, or keeps it in a variable."""
    slot, pipe, source = _declaration(reader, scope)
    if slot is None:
        printable(pipe.shape, pipe.source)

    def run(frame: Frame, out: list[str]) -> None:
        value = pipe.evaluate(frame)
        if slot is not None:
            frame.variables[slot] = value
            return
        _add(to_string(value), out)

    return Node(run, f"{{{{{source}}}}}")


def _declaration(reader: Reader, scope: Scope) -> tuple[int | None, Expression, str]:
    """Read `[$NAME :=|=] PIPELINE` to the end; return the variable's slot, the pipeline and the source of both."""
    if reader.peek().kind != "variable" or reader.peek(1).text not in (":=", "="):
        pipe = reader.pipeline()
        reader.end()
        return None, pipe, pipe.source
    name, sign = reader.take().text, reader.take().text
    pipe = reader.pipeline()
    reader.end()
    if sign == ":=":
        slot = scope.declare(name, pipe.shape)
    else:
        known = scope.slots.get(name)
        if known is None or known[1] != pipe.shape:
            raise reader.error(f"'{name}' cannot change its kind, or is not defined,")
        slot = known[0]
    return slot, pipe, f"{name} {sign} {pipe.source}"


def _range_shapes(pipe: Expression, reader: Reader) -> tuple[Shape, Shape]:
    """Return the shapes of the keys and elements of what is ranged over."""
    element = pipe.shape.element
    if element is None:
        raise reader.error(f"'{pipe.source}' is a {pipe.shape.kind.value}, and range is for slices and maps only,")
    return (INT if pipe.shape.kind is Kind.LIST else STRING), element


def _pairs(value: Value) -> list[tuple[Value, Value]]:
    """Return keys and elements; a map's in the order of its keys."""
    if isinstance(value, Mapping):
        return [(key, value[key]) for key in sorted(value)]
    assert isinstance(value, Sequence)  # noqa: S101  # `_range_shapes` has seen to that
    return list(enumerate(value))


def _run_all(nodes: Sequence[Node], frame: Frame, out: list[str]) -> None:
    for node in nodes:
        node.run(frame, out)


def _run_with(nodes: Sequence[Node], dot: Value, frame: Frame, out: list[str]) -> None:
    _run_all(nodes, Frame(frame.root, dot, frame.variables), out)


def _block_source(opener: str, body: Sequence[Node], other: Sequence[Node]) -> str:
    rest = f"{{{{else}}}}{''.join(node.source for node in other)}" if other else ""
    return f"{{{{{opener}}}}}{''.join(node.source for node in body)}{rest}{{{{end}}}}"
