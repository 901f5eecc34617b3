"""Properties of the whole package, for any text and any configuration."""

from contextlib import suppress
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dnsserver.corefile import CorefileError, check_directives, check_duplicates, fingerprint
from tests.corefile.sources import Shape, parsed, shapes

Corefiles = list[tuple[tuple[str, ...], tuple[Shape, ...]]]

# Pieces that mean something, so that random texts get past the first line.
PIECES = st.sampled_from(
    [
        *("{", "}", "\n", " ", "{\n", "}\n", "a", "a.org", ".", ",", "b,", "tls://", ":53", "10.0.0.0/9"),
        *("import", "import s\n", "import f\n", "import *\n", "(s)", "(s) {\n", "{$V}", "{%V%}", "{$"),
        *("#", '"', '\\"', "\\", "\r", "\ufeff"),
    ]
)
TEXTS = st.text(max_size=60) | st.lists(PIECES | st.characters(), max_size=40).map("".join)


@given(TEXTS, TEXTS, st.text(max_size=5))
@example("import f", "import f", "")
@example("(s) {\nimport s\n}\nimport s", "", "")
@example('. {\nlog "', "", "")
def test_only_corefile_errors(text: str, imported: str, value: str) -> None:
    """Any text is a Corefile or a `CorefileError`, and no later step fails on what was accepted."""
    try:
        corefile = parsed(text, {"f": imported}, {"V": value})
    except CorefileError:
        return
    assert len(fingerprint(corefile)) == 128
    with suppress(CorefileError):
        check_duplicates(corefile)
    with suppress(CorefileError):
        check_directives(corefile, ())


# What a word may hold: no backslash, since a quoted string cannot end in one, and no environment reference.
WORDS = st.text(st.characters(exclude_characters="\\$%", exclude_categories=["Cs"]), max_size=8)
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,7}", fullmatch=True).filter(lambda name: name != "import")
ZONES = st.from_regex(r"([a-z0-9]{1,5}\.){1,3}", fullmatch=True)


def statements(depth: int) -> st.SearchStrategy[tuple[Shape, ...]]:
    """Return a strategy for statements with blocks up to a depth."""
    block = statements(depth - 1) if depth else st.just(())
    statement = st.tuples(NAMES | WORDS, st.lists(WORDS, max_size=3).map(tuple), block)
    return st.lists(statement, max_size=3).map(tuple)


COREFILES = st.lists(
    st.tuples(st.lists(ZONES, min_size=1, max_size=3, unique=True).map(tuple), statements(2)), max_size=3
)


SEEDS = st.integers(0, 2**32)  # of a layout: drawn in one piece, since hypothesis is slow with hundreds of coins


def coin(layout: Random) -> bool:
    """Return one choice of a layout."""
    return layout.random() < 0.5


def quoted(word: str) -> str:
    """Return a word as a quoted token."""
    return '"' + word.replace('"', '\\"') + '"'


def rendered_word(word: str, layout: Random) -> str:
    """Return a word as a token, bare where that is possible and chosen."""
    bare = word.isascii() and word.isalnum() and word != "import"
    return word if bare and coin(layout) else quoted(word)


def rendered(corefile: Corefiles, layout: Random) -> str:
    """Return a Corefile as text, with quotes, white space and comments as drawn."""

    def space(text: str) -> str:
        return text + (" \t\r " if coin(layout) else "")

    def end() -> str:
        return '  # } { " import x\n\n# more\n' if coin(layout) else "\n"

    def lines(shapes: tuple[Shape, ...]) -> str:
        result = ""
        for name, args, block in shapes:
            result += " ".join(space(rendered_word(word, layout)) for word in (name, *args))
            result += " {" + end() + lines(block) + space("}") if block else ""
            result += end()
        return result

    def head(zones: tuple[str, ...]) -> str:
        separator = "," + end() if coin(layout) else space(" ")
        return separator.join(zones) + (end() if coin(layout) else " ")

    return "".join(head(zones) + "{" + end() + lines(directives) + "}" + end() for zones, directives in corefile)


@settings(max_examples=50)  # each example is a whole configuration
@given(COREFILES, SEEDS)
def test_round_trip(corefile: Corefiles, seed: int) -> None:
    """However a configuration is written down, it is read as what it was."""
    text = rendered(corefile, Random(seed))
    assert shapes(parsed(text)) == corefile


@settings(max_examples=50)  # each example is a whole configuration
@given(COREFILES, SEEDS)
def test_fingerprint_ignores_layout(corefile: Corefiles, seed: int) -> None:
    """White space, comments and quotes do not change the fingerprint."""
    layout = Random(seed)
    once, again = (fingerprint(parsed(rendered(corefile, layout))) for _ in range(2))
    assert once == again


@settings(max_examples=50)  # each example is a whole configuration
@given(COREFILES, COREFILES)
def test_fingerprint_tells_apart(one: Corefiles, other: Corefiles) -> None:
    """Different configurations have different fingerprints."""
    same = fingerprint(parsed(rendered(one, Random(0)))) == fingerprint(parsed(rendered(other, Random(0))))
    assert same == (one == other)
