"""The compiled loop's C under AddressSanitizer for a moment; `make sanitize` does it at length, and for races."""

from pathlib import Path

import pytest

from tests.fast.sanitize import MODES, MissingError, build, run


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return what runs the harness."""
    try:
        return build("address,undefined", Path(tmp_path_factory.mktemp("sanitize")))
    except MissingError as error:
        pytest.skip(f"cannot be run here: {error}")


@pytest.mark.parametrize("mode", MODES)
def test_row78_nothing_is_read_or_written_that_is_not_ours(command: list[str], mode: str) -> None:
    """Whatever comes, whatever changes meanwhile; and every answer is that of one version, and not of an old one."""
    good, text = run(command, mode, 1.0)
    assert good, text
