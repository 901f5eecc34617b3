"""The table of values in the chart's README, made of the comments in `values.yaml`; run by `make chart-docs`.

A comment `# -- text` right above a key describes it, and all that is below it; without one each key below it has its
own.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

CHART = Path(__file__).parents[1] / "charts" / "dnsserver"
BEGIN, END = "<!-- values: made by `make chart-docs` -->", "<!-- end of values -->"


def rows(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield path, default and description of what `values.yaml` describes. Raises `ValueError` for what it does not."""
    document = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(document, yaml.MappingNode):
        raise ValueError("values.yaml is no mapping")  # noqa: TRY004 -- what is wrong is the text
    yield from _below(document, "", text.splitlines())


def _below(node: yaml.MappingNode, prefix: str, lines: list[str]) -> Iterator[tuple[str, str, str]]:
    for key, value in node.value:
        path = f"{prefix}{key.value}"
        comment = re.fullmatch(r"\s*# -- (.*)", lines[key.start_mark.line - 1])
        if comment:
            yield path, json.dumps(_plain(value)), comment[1]
        elif isinstance(value, yaml.MappingNode) and value.value:
            yield from _below(value, f"{path}.", lines)
        else:
            raise ValueError(f"{path} has no description")


def _plain(node: yaml.Node) -> object:
    return yaml.safe_load(yaml.serialize(node))


def table() -> str:
    """Return the table."""
    head = "| value | meaning | default |\n| --- | --- | --- |\n"
    found = rows((CHART / "values.yaml").read_text())
    return head + "".join(f"| `{path}` | {text} | `{default}` |\n" for path, default, text in found)


def renewed(page: str) -> str:
    """Return the page with the table as it should be."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n{END}{after}"


def main() -> int:
    """Write the page."""
    page = CHART / "README.md"
    page.write_text(renewed(page.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
