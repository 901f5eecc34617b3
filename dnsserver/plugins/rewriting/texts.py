"""Matching and replacing in the text of a name, which is absolute and lower case; no I/O.

CoreDNS rewrites names as text, not by labels: a prefix or a substring may end inside a label. What comes out has to
be a name again, or there is no answer.
"""

import re
from collections.abc import Callable

from dnsserver.names import InvalidNameError, from_text, spelled_from_text, to_text
from dnsserver.plugins.go_regexp import GoRegexp, RegexpError, compile_regexp
from dnsserver.plugins.plugin import PluginError
from dnsserver.plugins.rewriting.rule import Words

KINDS = ("exact", "prefix", "suffix", "substring", "regex")

Rewriter = Callable[[str], str | None]  # None where the text does not match

_PLACE = re.compile(r"\{([0-9]+)\}")


def parse_kind(words: Words) -> str:
    """Return the way to match that the first word names, in any case; raises `CorefileError`."""
    kind = words[0].lower()
    if kind not in KINDS:
        raise words.error(f"cannot match names by '{words[0]}', expecting one of {', '.join(KINDS)}", 0)
    return kind


def parse_rewriter(words: Words, kind: str, start: int, *, whole_labels: bool = True) -> Rewriter:
    """Return the function for the words FROM and TO at index `start`; raises `CorefileError`.

    With `whole_labels` a prefix and a substring end in a dot even where they were written without one, as CoreDNS
    reads them in every rule but `cname`.
    """
    if kind == "regex":
        return parse_regexp(words, start)
    if kind == "exact":
        return _exact(_parse_name(words, start), _parse_name(words, start + 1))
    old, new = words[start].lower(), words[start + 1].lower()
    if kind == "suffix" or whole_labels:
        old, new = _parse_part(words, kind, start), _absolute(new)
    return {"prefix": _prefix, "suffix": _suffix, "substring": _substring}[kind](old, new)


def parse_matcher(words: Words, kind: str, index: int) -> Callable[[str], bool]:
    """Return the function that says whether a name matches the word at that index; raises `CorefileError`."""
    if kind == "regex":
        regexp = _compile(words, index)
        return lambda text: regexp.find(text) is not None
    if kind == "exact":
        name = _parse_name(words, index)
        return lambda text: text == name
    part = _parse_part(words, kind, index)
    matchers: dict[str, Callable[[str], bool]] = {
        "prefix": lambda text: text.startswith(part),
        "suffix": lambda text: text.endswith(part),
        "substring": lambda text: part in text,
    }
    return matchers[kind]


def parse_regexp(words: Words, start: int) -> Rewriter:
    """Return the function for a regular expression and its replacement, where `{N}` is a group.

    Raises `CorefileError`, also for a group that the expression does not have.
    """
    regexp = _compile(words, start)
    replacement = _absolute(words[start + 1].lower())
    beyond = [number for number in _PLACE.findall(replacement) if len(number) > 4 or int(number) > regexp.groups]
    if beyond:
        raise words.error(
            f"the replacement uses group {{{beyond[0][:20]}}}, but '{words[start]}' has {regexp.groups}", start + 1
        )

    def rewrite(text: str) -> str | None:
        groups = regexp.find(text)
        return None if groups is None else _PLACE.sub(lambda place: groups[int(place[1])], replacement)

    return rewrite


def renamed(text: str, plugin: str = "rewrite") -> bytes:
    """Return the name that a rewrite has made, in wire form; raises `PluginError` for what is none."""
    try:
        if not text:
            raise InvalidNameError("the name is empty")  # noqa: TRY301  # `spelled_from_text` takes it for the root
        return spelled_from_text(text)
    except InvalidNameError as error:
        raise PluginError(plugin, f"invalid name after rewrite: {text}: {error}") from error


def _compile(words: Words, index: int) -> GoRegexp:
    try:
        return compile_regexp(words[index])
    except RegexpError as error:
        raise words.error(f"invalid regex pattern: {error}", index) from error


def _parse_name(words: Words, index: int) -> str:
    """Return a whole name as questions are compared with it."""
    try:
        return to_text(from_text(words[index]))
    except (InvalidNameError, UnicodeEncodeError) as error:
        raise words.error(f"'{words[index][:100]}' is not a name: {error}", index) from error


def _parse_part(words: Words, kind: str, index: int) -> str:
    """Return a part of a name, which ends in a dot; warns where nobody wrote that and it changes what matches."""
    text = words[index].lower()
    if kind != "suffix" and not text.endswith("."):
        words.warn(f"plugin/rewrite: {kind} '{text}' is taken for '{text}.', as CoreDNS does: it ends with a label")
    return _absolute(text)


def _absolute(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _exact(old: str, new: str) -> Rewriter:
    return lambda text: new if text == old else None


def _prefix(old: str, new: str) -> Rewriter:
    return lambda text: new + text.removeprefix(old) if text.startswith(old) else None


def _suffix(old: str, new: str) -> Rewriter:
    return lambda text: text.removesuffix(old) + new if text.endswith(old) else None


def _substring(old: str, new: str) -> Rewriter:
    return lambda text: text.replace(old, new) if old in text else None
