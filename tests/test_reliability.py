"""`docs/reliability.md` has every row once, and each names tests that are there and mean it."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests import test_protocol_rows as rows

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
IDS = [
    *(f"I{number}" for number in range(1, 10)),
    *(f"{number}" for number in range(1, 80)),
    *(f"C{number}" for number in range(1, 10)),
    *(f"F{number}" for number in range(1, 34)),
    *(f"S{number}" for number in range(1, 15)),
    *(f"L{number}" for number in range(1, 7)),
    *(f"E{number}" for number in range(1, 10)),
]
REPLAYED = "tests/test_protocol_rows.py::test_row"
# `test_f3_...`, `test_s1_row78_...`, `test_cve_2019_6477_...`
IN_NAMES = re.compile(r"test_(?P<fault>[fsl]\d+)_|(?<=_)row(?P<row>\d+)|(?P<attack>cve)_")


def lines() -> Iterator[list[str]]:
    """Yield the cells of every row of every table, without the heads."""
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 5 and cells[0] not in ("#", "---"):
            yield cells


TABLE = {cells[0]: cells[1:] for cells in lines()}
HELD = {key: re.findall(r"`(tests/[^`]+)`", cells[-1]) for key, cells in TABLE.items()}


@cache
def named_in(path: str) -> dict[str, str]:
    """Return the tests in a file, each with its docstring; those of a class follow its name."""
    found = {}
    for prefix, node in _definitions(ast.parse((ROOT / path).read_text()).body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            found[prefix + node.name] = ast.get_docstring(node) or ""
    return found


def _definitions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        yield prefix, node
        if isinstance(node, ast.ClassDef):
            yield from _definitions(node.body, f"{prefix}{node.name}::")


def every_test() -> Iterator[str]:
    """Yield all tests of the suite."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        name = str(path.relative_to(ROOT))
        yield from (f"{name}::{test}" for test in named_in(name))


def test_every_row_is_there_once() -> None:
    """In order, none twice, none besides, and each says what happens and what comes of it."""
    assert [cells[0] for cells in lines()] == IDS
    assert all(cells[0] and cells[1] for cells in TABLE.values())


@pytest.mark.parametrize("key", IDS)
def test_row_is_held(key: str) -> None:
    """By tests that exist, each named once, and by nothing else."""
    held = HELD[key]
    assert held
    assert max(Counter(held).values(), default=1) == 1
    for one in held:
        path, _, name = one.partition("::")
        assert name in named_in(path), one
    rest = re.sub(r"`tests/[^`]+::\w+`", "", TABLE[key][-1])
    assert re.fullmatch(r"[, ]*", rest), rest


def test_names_with_ids_stand_in_their_rows() -> None:
    """A test that is called after rows is in each of them, and one after a CVE in some row of attacks."""
    for one in every_test():
        for match in IN_NAMES.finditer(one.rpartition("::")[2]):
            if match["attack"]:
                assert any(one in held for key, held in HELD.items() if key[0] == "C"), one
            else:
                assert one in HELD[(match["fault"] or match["row"]).upper()], one


def test_rows_that_are_replayed() -> None:
    """Whatever `test_row` replays, or looks at in every response, says so here; and the other way round."""
    replayed = {row.number.rpartition(".")[2] for row in rows.ROWS if row.number != "1"}
    replayed |= set(re.findall(r"\d+\.(\d+)", rows.check.__doc__ or ""))
    assert {key for key, held in HELD.items() if key.isdigit() and REPLAYED in held} == replayed


def test_rows_that_have_tests_of_their_own() -> None:
    """Those of the same module say in their first words which rows they hold."""
    path = REPLAYED.partition("::")[0]
    for name, text in named_in(path).items():
        said = re.match(r"Rows? ([^:]*):", text)
        for key in re.findall(r"\d+\.(\d+)", said[1]) if said else ():
            assert f"{path}::{name}" in HELD[key], name


def test_the_list_of_isc_is_complete() -> None:
    """Each query of `genreport` is in one group; `test_row` sends them over TCP too, and all types."""
    listed = [name for key in IDS if key[0] == "I" for name in re.findall(r"`([\w@]+)`", TABLE[key][0])]
    types = {f"type{number}" for number in rows.TYPES}
    expected = {row.what for row in rows.ISC} - types | {"tcp", "ednstcp", "TYPE"}
    assert Counter(listed) == Counter(expected)


def test_links_and_targets() -> None:
    """Headings that are linked to exist, here and in the other pages, and so do the targets of make."""
    for page, anchor in re.findall(r"\]\(([\w.]*)#([\w-]+)\)", PAGE):
        text = (ROOT / "docs" / page).read_text() if page else PAGE
        headings = [line.lstrip("# ").lower().replace(" ", "-") for line in text.splitlines() if line.startswith("#")]
        assert anchor in [re.sub(r"[^\w-]", "", heading) for heading in headings]
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([a-z]+)", PAGE, re.MULTILINE):
        assert f"\n{target}:" in makefile, target
