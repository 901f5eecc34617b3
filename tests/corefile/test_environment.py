"""Environment references."""

import pytest

from dnsserver.corefile.environment import substitute

ENVIRONMENT = {
    "A": "one",
    "B": "two",
    "SELF": "{$SELF}",
    "OTHER": "{%A%}",
    "SPACES": "x y",
    "EMPTY": "",
    "odd name": "z",
    "A%B": "w",
}

CASES = [
    ("plain", "plain"),
    ("", ""),
    ("{$A}", "one"),
    ("{%A%}", "one"),
    ("x{$A}y", "xoney"),
    ("{$A}:{$B}", "one:two"),
    ("{%A%}:{$B}", "one:two"),
    ("{$A}:{%B%}", "one:two"),
    ("{$A}{$A}", "oneone"),
    ("{$MISSING}", ""),  # not set: nothing
    ("{%MISSING%}", ""),
    ("a{$EMPTY}b", "ab"),
    ("{$A$}", ""),  # names the variable `A$`
    ("{$odd name}", "z"),
    ("{%A%B%}", "w"),  # a name ends at `%}` and not at `%`
    ("{$SPACES}", "x y"),  # stays one token
    ("{$SELF}", "{$SELF}"),  # a value is not looked into again
    ("{$OTHER}", "{%A%}"),
    ("{$A", "{$A"),
    ("{%A}", "{%A}"),
    ("{%A", "{%A"),
    ("{$}", "{$}"),
    ("{%}", "{%}"),
    ("{%%}", "{%%}"),
    ("$A %A% {A} {{ .Name }}", "$A %A% {A} {{ .Name }}"),
    ("{{ .Name }} {$A}", "{{ .Name }} one"),
]


@pytest.mark.parametrize(("text", "result"), CASES)
def test_substitute(text: str, result: str) -> None:
    """A reference becomes its variable's value, and what is no reference stays."""
    assert substitute(text, ENVIRONMENT) == result
