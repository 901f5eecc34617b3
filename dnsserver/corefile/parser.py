"""The Corefile grammar: a token stream to server blocks; no I/O of its own.

Implements coredns/caddy's parser, stricter where that one takes a typing error for something else: every line of a
block is a statement, a `}` starts one, and nothing but a new line follows the `}` of a plugin's block.
"""

from dataclasses import dataclass

from dnsserver.corefile.imports import TokenStream
from dnsserver.corefile.model import Corefile, CorefileError, Directive, Key, Position, Property, ServerBlock
from dnsserver.corefile.tokens import Token
from dnsserver.corefile.zones import InvalidZoneError, parse_key

MAX_NESTING = 32  # blocks in blocks; no plugin has more than two, and comparing values must not exhaust the stack


@dataclass(frozen=True, slots=True)
class _Line:
    """One statement as written: its first word, its arguments, and its block."""

    first: Token
    args: tuple[Token, ...]
    properties: tuple[Property, ...]


def parse_blocks(stream: TokenStream) -> Corefile:
    """Parse to the end of the stream; raises `CorefileError`."""
    parser = _Parser(stream)
    blocks = []
    while (first := stream.statement()) is not None:
        if (block := parser.server_block(first)) is not None:
            blocks.append(block)
    return Corefile(tuple(blocks), tuple(stream.warnings))


class _Parser:
    """The grammar's rules, one method each; all state is the stream's."""

    def __init__(self, stream: TokenStream) -> None:
        self._stream = stream

    def server_block(self, first: Token) -> ServerBlock | None:
        """Parse one server block; None for a snippet, and for a block without a key, which gets a warning."""
        words = self._key_words()
        if len(words) == 1 and (name := _snippet_name(words[0][0])) is not None:
            self._snippet(name, words[0][1])
            return None
        keys = tuple(key for text, token in words for key in _keys(text, token))
        opening = self._stream.peek()
        if opening is not None and opening.opens:
            self._stream.take()
            directives = self._directives(opening)
        else:
            directives = self._directives(None)
        if not keys:
            self._stream.warnings.append(f"{first.file}:{first.line} - Server block without a zone is ignored")
            return None
        return ServerBlock(keys, directives, first.file, first.line)

    def _key_words(self) -> list[tuple[str, Token]]:
        """Take the keys up to `{`, the end of the line, or, after a comma, of a later line.

        A comma inside a word separates as well: no zone has one, and `{$ZONES}` may hold several.
        """
        words: list[tuple[str, Token]] = []
        started = more = False
        while True:
            # before a key on a new line an import may stand for it; after the keys it is the block's
            token = self._stream.statement() if more or not started else self._stream.peek()
            if token is None and more:
                raise self._stream.end_error("another address after ','")
            if token is None or (token.starts and started and not more):
                return words
            if token.opens and more:
                raise token.error("Expected another address but had '{' - check for extra comma")
            if token.opens:
                return words
            if token.closes:
                raise token.error("Unexpected '}' because no matching opening brace")
            text = self._stream.text(self._stream.take())
            words.extend((part, token) for part in text.split(",") if part)
            started = True
            more = text.endswith(",") if text else more

    def _snippet(self, name: str, at: Token) -> None:
        """Take a snippet's block and remember its tokens; they are parsed wherever it is imported."""
        opening = self._stream.peek()
        if opening is None or not opening.opens:
            raise at.error(f"Expected '{{' after snippet ({name})")
        self._stream.take()
        tokens: list[Token] = []
        depth = 1
        while True:
            token = self._take_inside(opening)
            depth += token.opens - token.closes
            if depth == 0:
                break
            tokens.append(token)
        self._stream.define(name, tokens, at)

    def _directives(self, opening: Token | None) -> tuple[Directive, ...]:
        """Parse a server block's lines up to its `}`, or to the end where it has no braces."""
        directives: list[Directive] = []
        while (token := self._stream.statement()) is not None:
            if token.closes:
                if opening is None:
                    raise token.error("Unexpected '}' because no matching opening brace")
                self._stream.take()
                return tuple(directives)
            name = self._stream.text(token)
            line = self._line(name, depth=1)
            args, positions = self._arguments(line)
            directives.append(Directive(name, args, line.properties, token.file, token.line, positions))
        if opening is not None:
            raise self._unclosed(opening)
        return tuple(directives)

    def _properties(self, opening: Token, plugin: str, depth: int) -> tuple[Property, ...]:
        """Parse the lines of a plugin's block, or of a block inside one, up to its `}`."""
        if depth > MAX_NESTING:
            raise opening.error(f"Blocks are nested more than {MAX_NESTING} deep")
        properties: list[Property] = []
        while (token := self._stream.statement()) is not None:
            if token.closes:
                self._stream.take()
                self._end_line()
                return tuple(properties)
            line = self._line(plugin, depth + 1)
            args, positions = self._arguments(line)
            properties.append(
                Property(self._stream.text(token), args, token.file, token.line, line.properties, positions, plugin)
            )
        raise self._unclosed(opening)

    def _line(self, plugin: str, depth: int) -> _Line:
        """Parse one statement, at whose first word the stream stands, and the block it may open."""
        first = self._stream.take()
        if first.opens:
            raise first.error("Unexpected '{', expecting it on the line of the plugin or property it belongs to")
        args: list[Token] = []
        while (token := self._stream.peek()) is not None and not token.starts:
            if token.closes:
                raise token.error("Unexpected '}', which must start a line")
            self._stream.take()
            if token.opens:
                return _Line(first, tuple(args), self._properties(token, plugin, depth))
            args.append(token)
        return _Line(first, tuple(args), ())

    def _arguments(self, line: _Line) -> tuple[tuple[str, ...], tuple[Position, ...]]:
        texts = tuple(self._stream.text(token) for token in line.args)
        return texts, tuple(Position(token.file, token.line) for token in line.args)

    def _end_line(self) -> None:
        """Raise `CorefileError` where anything but a new line follows the `}` of a plugin's block.

        CoreDNS takes that for one more use of the plugin, or for arguments nobody reads.
        """
        token = self._stream.peek()
        if token is not None and not token.starts:
            raise token.error(f"Unexpected '{token.text}' after '}}', expecting a new line")

    def _take_inside(self, opening: Token) -> Token:
        if self._stream.peek() is None:
            raise self._unclosed(opening)
        return self._stream.take()

    def _unclosed(self, opening: Token) -> CorefileError:
        return self._stream.end_error(f"'}}' for the '{{' at {opening.file}:{opening.line}")


def _snippet_name(key: str) -> str | None:
    """Return NAME of `(NAME)`; None for any other key."""
    return key[1:-1] if len(key) > 1 and key.startswith("(") and key.endswith(")") else None


def _keys(text: str, token: Token) -> tuple[Key, ...]:
    """Return a key for each zone that one word of a server block's head stands for."""
    try:
        parts = parse_key(text)
    except InvalidZoneError as error:
        raise token.error(str(error)) from error
    return tuple(Key(parts.scheme, zone, parts.port, token.file, token.line) for zone in parts.zones)
