r"""Corefile text to tokens; no I/O.

Implements coredns/caddy's lexer: tokens are separated by white space, `"..."` keeps white space and newlines, `\"`
is the only escape, `#` at the start of a token comments to the end of the line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dnsserver.corefile.model import CorefileError

# Go's unicode.IsSpace, which str.isspace exceeds by U+001C to U+001F. CR is white space that ends nothing.
_SPACE = "\t\n\v\f \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_GAP = re.compile(rf"(?:[{_SPACE}\r]++|\#[^\n]*+)*+")
_QUOTED = re.compile(r'"(?P<text>(?:[^"\\]++|\\.)*+)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# In the middle of a token `#` eats only the rest of that word: `a#b c` is `a` and `c`. A quirk, and CoreDNS's.
_WORD = re.compile(rf"(?P<text>[^{_SPACE}#]++)(?:\#[^{_SPACE}]*+)?")


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a Corefile, before environment references in it are replaced."""

    text: str
    file: str
    line: int  # where it starts, from 1
    quoted: bool = False  # a quoted brace is an argument, never a block
    starts: bool = False  # whether a statement can start here: first on its line, or right after `{`

    @property
    def opens(self) -> bool:
        return self.text == "{" and not self.quoted

    @property
    def closes(self) -> bool:
        return self.text == "}" and not self.quoted

    @property
    def imports(self) -> bool:
        """Whether it is an `import` statement's first word and not an argument of that text."""
        return self.text == "import" and self.starts and not self.quoted

    def error(self, message: str) -> CorefileError:
        """Return, for the caller to raise, an error at this token."""
        return CorefileError(message, self.file, self.line)


def tokenize(text: str, file: str) -> Iterator[Token]:
    """Yield the tokens of one file; a byte order mark before them is skipped.

    Raises `CorefileError` for a quoted string without an end. CoreDNS takes the rest of the file for that string
    and then reports a missing brace somewhere else.
    """
    position = 1 if text.startswith("\ufeff") else 0
    line = 1
    starts = True
    while True:
        gap = _GAP.match(text, position)
        assert gap is not None  # noqa: S101  # the pattern may be empty: it fits at any position
        if breaks := gap[0].count("\n"):
            line += breaks
            starts = True
        if gap.end() == len(text):
            return
        match, token = _match(text, gap.end(), Token("", file, line, starts=starts))
        yield token
        starts = token.opens
        line += match[0].count("\n")
        position = match.end()


def _match(text: str, position: int, at: Token) -> tuple[re.Match[str], Token]:
    """Return the match of the token at a position that is not white space, and the token; `at` is its place."""
    if text[position] != '"':
        word = _WORD.match(text, position)
        assert word is not None  # noqa: S101  # neither white space nor `#`: the gap before took those
        return word, Token(word["text"].replace("\r", ""), at.file, at.line, starts=at.starts)
    quoted = _QUOTED.match(text, position)
    if quoted is None:
        raise at.error("Quoted string without an end, expecting '\"'")
    content = _ESCAPE.sub(lambda escape: '"' if escape[1] == '"' else escape[0], quoted["text"])
    return quoted, Token(content, at.file, at.line, quoted=True, starts=at.starts)
