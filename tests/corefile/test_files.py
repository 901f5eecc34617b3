"""Reading files, and the errors of files that cannot be read."""

import os
from pathlib import Path

import pytest

from dnsserver.corefile import CorefileError, load, parse
from dnsserver.corefile.files import glob_files, read_file
from tests.corefile.sources import line, shapes


def write(folder: Path, **content: str) -> None:
    """Make files; `__` in a name is a dot."""
    for name, text in content.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_load(tmp_path: Path) -> None:
    """A Corefile is read with what it imports, beside it and elsewhere."""
    custom = tmp_path / "custom"
    custom.mkdir()
    write(custom, b__override="log b", a__override="log a", vm__server="vm.org {\n import inner\n}", inner="errors")
    write(custom, __hidden__override="log hidden")
    text = f". {{\n import custom/*.override\n}}\nimport {custom}/*.server\n"
    write(tmp_path, Corefile=text)
    corefile = load(tmp_path / "Corefile", environment={})
    assert shapes(corefile) == [
        ((".",), (line("log", "hidden"), line("log", "a"), line("log", "b"))),  # Go's `*` matches a leading dot
        (("vm.org.",), (line("errors"),)),
    ]
    assert corefile.blocks[0].file == str(tmp_path / "Corefile")
    assert corefile.blocks[1].directives[0].file == str(custom / "inner")


def test_relative_paths_start_at_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Corefile that has no folder in its name is in the working directory, as is one from standard input."""
    write(tmp_path, Corefile=". {\n import x\n}", x="log")
    monkeypatch.chdir(tmp_path)
    assert shapes(load("Corefile")) == shapes(parse(". {\n import x\n}", file="stdin")) == [((".",), (line("log"),))]


def test_environment_is_the_process_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another one, references read the process's environment at the time of the call."""
    write(tmp_path, Corefile="{$COREFILE_TEST_ZONE} {\n}")
    monkeypatch.setenv("COREFILE_TEST_ZONE", "a.org")
    assert load(tmp_path / "Corefile").blocks[0].zones == ("a.org.",)
    monkeypatch.setenv("COREFILE_TEST_ZONE", "b.org")
    assert parse("{$COREFILE_TEST_ZONE}").blocks[0].zones == ("b.org.",)


def message(path: str | Path) -> str:
    """Return the text of the error that loading a path raises."""
    with pytest.raises(CorefileError) as raised:
        load(path)
    return str(raised.value)


def test_load_errors(tmp_path: Path) -> None:
    """A file that is missing, a folder, or no text is an error with its name."""
    missing = tmp_path / "missing"
    assert message(missing) == f"{missing} - Error during parsing: cannot be read: No such file or directory"
    assert message(tmp_path) == f"{tmp_path} - Error during parsing: cannot be read: Is a directory"
    assert message("a\0b") == "a\0b - Error during parsing: cannot be read: embedded null byte"
    binary = tmp_path / "binary"
    binary.write_bytes(b"\n. {\n\xc3\x28\n}")
    assert message(binary) == f"{binary}:3 - Error during parsing: octet 0xc3 is not UTF-8, expecting a text file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path: Path) -> None:
    """A file without permission is an error with its name."""
    secret = tmp_path / "secret"
    secret.touch(mode=0)
    assert message(secret) == f"{secret} - Error during parsing: cannot be read: Permission denied"


IMPORT_ERRORS = [
    ("import a\0b", "Could not import a\0b: embedded null byte"),
    ("import \0*", "No files matching"),
    ("import .", "Could not import .: Is a directory"),
    ("import missing", "File to import not found: missing"),
    (f"import {'a' * 300}", f"Could not import {'a' * 300}: File name too long"),
]


@pytest.mark.parametrize(("text", "problem"), IMPORT_ERRORS)
def test_import_errors(text: str, problem: str) -> None:
    """The file system's own errors come out as errors or warnings of the Corefile."""
    try:
        found: object = parse(text).warnings
    except CorefileError as error:
        found = error
    assert problem in str(found).replace("\\x00", "\0")


def test_defaults(tmp_path: Path) -> None:
    """The default reader returns octets, and the default pattern matcher lists hidden files too."""
    write(tmp_path, __a="x", b="y")
    assert read_file(str(tmp_path / "b")) == b"y"
    assert sorted(glob_files(f"{tmp_path}/*")) == [f"{tmp_path}/.a", f"{tmp_path}/b"]
    assert glob_files(f"{tmp_path}/*.none") == []
