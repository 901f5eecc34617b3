"""`cookie`: where its secret comes from, and every refusal."""

from pathlib import Path

import pytest

from dnsserver.plugins.cookie import Cookie
from tests.plugins.conftest import parse, refusal

SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"


def secret(text: str, folder: Path) -> bytes:
    """Return the secret of one directive."""
    (plugin,) = parse("cookie", text, folder=folder)
    assert isinstance(plugin, Cookie)
    return plugin.secret


@pytest.mark.parametrize("digits", [SECRET, SECRET.upper()])
def test_digits(digits: str, tmp_path: Path) -> None:
    """The secret itself, or a file that holds it; blanks around it are nothing."""
    (tmp_path / "file").write_text(f" {digits}\n")
    for argument in (digits, "file", tmp_path / "file"):
        assert secret(f"cookie {{\nsecret {argument}\n}}", tmp_path) == bytes.fromhex(SECRET)


REFUSED = [  # the lines, the reason
    ("cookie", "0 secrets, expecting one: cookie { secret FILE|HEX }"),
    (f"cookie {SECRET}", f"unexpected line ending after '{SECRET}', expecting cookie {{ secret FILE|HEX }}"),
    (f"cookie {{\nsecret {SECRET}\nsecret {SECRET}\n}}", "2 secrets, expecting one"),
    ("cookie {\nkey x\n}", "unknown property 'key', expecting secret"),
    ("cookie {\nsecret\n}", "unexpected line ending after 'secret', expecting secret FILE|HEX"),
    ("cookie {\nsecret none\n}", "none: No such file or directory, expecting a file or 32 digits"),
    ("cookie {\nsecret short\n}", "short, expecting 32 hexadecimal digits"),
    ("cookie {\nsecret odd\n}", "odd: no hexadecimal digits, expecting a file or 32 digits"),
    (f"cookie {{\nsecret {SECRET[:-1]}\n}}", f"{SECRET[:-1]}: No such file or directory"),
    (f"cookie {{\nsecret {SECRET}\n}}\ncookie", "this plugin can only be used once per Server Block"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_refused(text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every refusal says what was expected, and never what a file holds."""
    (tmp_path / "short").write_text("abcd1234")
    (tmp_path / "odd").write_bytes(b"\xff" * 32)
    monkeypatch.chdir(tmp_path)
    error = refusal("cookie", text)
    assert reason in error
    assert "abcd1234" not in error
