"""Pipelines of a template, from tokens to functions of the data; no I/O."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dnsserver.plugins.templating.formats import compile_format
from dnsserver.plugins.templating.functions import FUNCTIONS, LAZY, PRINTF, REFUSED, Typed, same_shape
from dnsserver.plugins.templating.lexer import Token, unquote
from dnsserver.plugins.templating.shapes import (
    BOOL,
    INT,
    ROOT,
    STRING,
    Kind,
    Shape,
    TemplateError,
    Value,
    field_shape,
    get_field,
    is_true,
)


@dataclass(slots=True)
class Frame:
    """What a pipeline sees while it runs."""

    root: Value
    dot: Value
    variables: list[Value]


Evaluate = Callable[[Frame], Value]


@dataclass(frozen=True, slots=True)
class Expression:
    """A part of a pipeline: what it is, how to get it, and how Go's template prints its source."""

    shape: Shape
    evaluate: Evaluate
    source: str
    literal: str | None = None  # of a string literal

    @property
    def typed(self) -> Typed:
        """The shape and the source."""
        return self.shape, self.source


@dataclass(slots=True)
class Scope:
    """What is known at one place of a template."""

    dot: Shape = ROOT
    slots: dict[str, tuple[int, Shape]] = field(default_factory=dict)  # variables that exist here
    count: list[int] = field(default_factory=lambda: [0])  # of the whole template's variables

    def inner(self, dot: Shape | None = None) -> "Scope":
        """Return the scope of a block inside."""
        return Scope(self.dot if dot is None else dot, dict(self.slots), self.count)

    def declare(self, name: str, shape: Shape) -> int:
        """Add a variable; return its slot."""
        slot = self.count[0]
        self.count[0] += 1
        self.slots[name] = (slot, shape)
        return slot


class Reader:
    """Reads the tokens of one action."""

    def __init__(self, tokens: Sequence[Token], scope: Scope, action: str) -> None:
        self._tokens = tokens
        self._scope = scope
        self._action = action
        self._at = 0

    def error(self, reason: str) -> TemplateError:
        """Return an error that shows the action."""
        return TemplateError(f"{reason} in '{self._action}'")

    def peek(self, ahead: int = 0) -> Token:
        """Return a token without taking it; behind the last one there is an empty one."""
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else Token("", "", glued=False)

    def take(self) -> Token:
        """Return the next token."""
        token = self.peek()
        self._at += 1
        return token

    def end(self) -> None:
        """Raise `TemplateError` unless everything has been read."""
        if self.peek().kind:
            raise self.error(f"unexpected '{self.peek().text}'")

    def pipeline(self) -> Expression:
        """Read commands joined by `|`: each gets the value of the one before as its last argument."""
        found = self._command(None)
        while self.peek().text == "|":
            self.take()
            found = self._command(found)
        return found

    def _command(self, piped: Expression | None) -> Expression:
        first = self.peek()
        if first.kind == "word" and first.text not in ("true", "false", "nil"):
            self.take()
            return self._call(first.text, [*self._operands(), *([piped] if piped else [])], piped)
        operands = self._operands()
        if not operands:
            raise self.error("a missing value")
        head, *rest = operands
        if head.shape.kind is Kind.METHOD:
            return self._method(head, [*rest, *([piped] if piped else [])])
        if rest or piped is not None:
            raise self.error(f"'{head.source}' is not a function and takes no arguments,")
        return head

    def _operands(self) -> list[Expression]:
        operands = []
        while self.peek().kind and self.peek().text not in ("|", ")", "=", ":=", ","):
            operands.append(self._operand())
        return operands

    def _operand(self) -> Expression:
        found = self._term()
        while self.peek().kind == "field" and self.peek().glued:
            found = _field(found, self.take().text[1:])
        return found

    def _term(self) -> Expression:
        token = self.take()
        match token.kind:
            case "string":
                text = unquote(token.text)
                return Expression(STRING, lambda _: text, token.text, text)
            case "number":
                number = self._number(token.text)
                return Expression(INT, lambda _: number, token.text)
            case "field":
                return _field(Expression(self._scope.dot, lambda frame: frame.dot, ""), token.text[1:])
            case "dot":
                return Expression(self._scope.dot, lambda frame: frame.dot, ".")
            case "variable":
                return self._variable(token.text)
        if token.text == "(":
            inner = self.pipeline()
            if self.take().text != ")":
                raise self.error("a missing ')'")
            return Expression(inner.shape, inner.evaluate, f"({inner.source})")
        if token.text in ("true", "false"):
            return Expression(BOOL, (lambda _: True) if token.text == "true" else (lambda _: False), token.text)
        raise self.error(f"unexpected '{token.text}'")

    def _number(self, text: str) -> int:
        digits = text.lstrip("+-")
        if digits[:1] == "0" and digits[1:].isdigit():
            digits = f"0o{digits[1:]}"
        try:
            number = int(digits, 0)
        except ValueError:
            raise self.error(f"'{text}' is not an integer, and only those are supported,") from None
        if number >> 63:
            raise self.error(f"'{text}' is too large")
        return -number if text.startswith("-") else number

    def _variable(self, name: str) -> Expression:
        if name == "$":
            return Expression(ROOT, lambda frame: frame.root, "$")
        if name not in self._scope.slots:
            raise self.error(f"undefined variable '{name}'")
        slot, shape = self._scope.slots[name]
        return Expression(shape, lambda frame: frame.variables[slot], name)

    def _method(self, head: Expression, arguments: list[Expression]) -> Expression:
        if len(arguments) != 1 or arguments[0].shape != STRING:
            raise self.error(f"'{head.source}' takes one string,")
        return Expression(STRING, lambda _: "", _source(head.source, arguments))  # there is no metadata here

    def _call(self, name: str, arguments: list[Expression], piped: Expression | None) -> Expression:
        source = _source(name, arguments[:-1] if piped else arguments)
        source = f"{piped.source} | {source}" if piped else source
        for argument in arguments:
            if argument.shape.kind is Kind.METHOD:
                raise self.error(f"'{argument.source}' needs parentheses around it and its argument")
        if name in REFUSED:
            raise self.error(f"function '{name}' is not supported")
        if name in LAZY:
            return self._lazy(name, arguments, source)
        if name == PRINTF:
            return self._printf(arguments, source)
        function = FUNCTIONS.get(name)
        if function is None:
            raise self.error(
                f"function '{name}' does not exist, expecting one of {', '.join((*LAZY, *FUNCTIONS, PRINTF))}"
            )
        if len(arguments) < function.least or (function.most is not None and len(arguments) > function.most):
            raise self.error(f"function '{name}' does not take {len(arguments)} arguments,")
        shape = function.check([argument.typed for argument in arguments])
        evaluates = [argument.evaluate for argument in arguments]
        return Expression(shape, lambda frame: function.call([one(frame) for one in evaluates]), source)

    def _lazy(self, name: str, arguments: list[Expression], source: str) -> Expression:
        """Return `and` or `or`: the first argument that decides, or else the last."""
        if not arguments:
            raise self.error(f"function '{name}' needs an argument")
        decides = name == "or"
        *others, last = (argument.evaluate for argument in arguments)

        def evaluate(frame: Frame) -> Value:
            for other in others:
                value = other(frame)
                if is_true(value) is decides:
                    return value
            return last(frame)

        return Expression(same_shape([argument.typed for argument in arguments]), evaluate, source)

    def _printf(self, arguments: list[Expression], source: str) -> Expression:
        if not arguments or arguments[0].literal is None:
            raise self.error("the format of printf has to be a string literal")
        fill = compile_format(arguments[0].literal, [argument.typed for argument in arguments[1:]])
        evaluates = [argument.evaluate for argument in arguments[1:]]
        return Expression(STRING, lambda frame: fill([one(frame) for one in evaluates]), source)


def _field(owner: Expression, name: str) -> Expression:
    shape = field_shape(owner.shape, name, owner.source or ".")
    evaluate = owner.evaluate
    source = f"{owner.source}.{name}"
    if shape.kind is Kind.METHOD:
        return Expression(shape, evaluate, source)
    return Expression(shape, lambda frame: get_field(evaluate(frame), name), source)


def _source(head: str, arguments: Sequence[Expression]) -> str:
    return " ".join((head, *(argument.source for argument in arguments)))
