"""The workflows as far as they can be checked without running them: pinned, unprivileged, and calling what is there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
PINNED = re.compile(r"uses: [\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
TARGET = re.compile(r"\bmake ([a-z-]+)")


def workflow(path: Path) -> dict[Any, Any]:
    """Return a workflow's content; YAML 1.1 reads the key `on` as true."""
    found: dict[Any, Any] = yaml.safe_load(path.read_text())
    return found


def targets() -> set[str]:
    """Return the Makefile's targets."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_there_are_workflows() -> None:
    assert {path.stem for path in WORKFLOWS} == {"ci", "kind", "nightly", "release"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    uses = [line.strip().removeprefix("- ") for line in path.read_text().splitlines() if "uses:" in line]
    assert uses
    assert [line for line in uses if not PINNED.fullmatch(line)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_nothing_is_permitted_that_is_not_named(path: Path) -> None:
    content = workflow(path)
    assert content["permissions"] == {}
    for job in content["jobs"].values():
        assert job["timeout-minutes"] <= 90
        writing = {scope for scope, access in job["permissions"].items() if access == "write"}
        assert not writing or path.stem == "release"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_make_targets_exist(path: Path) -> None:
    assert set(TARGET.findall(path.read_text())) <= targets()


def test_release_checks_what_is_there() -> None:
    """The release compares the tag with lines that must be spelled as it looks for them."""
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    chart = (ROOT / "charts" / "dnsserver" / "Chart.yaml").read_text().replace('"', "").splitlines()
    assert {f"appVersion: {version[1]}", f"version: {version[1]}"} <= set(chart)
    assert re.search(r"^## ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
