"""What the release does with the Dockerfile and the chart, as far as that can be tried here."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.image.dockerfile import ROOT, stages

ACTIONLINT = ROOT / ".tools" / "bin" / "actionlint"
RELEASE = (ROOT / ".github" / "workflows" / "release.yaml").read_text().replace("\\\n", " ")


@pytest.mark.skipif(not ACTIONLINT.exists(), reason="no actionlint: `make tools` fetches it")
def test_actionlint_has_nothing_to_say() -> None:
    """About no workflow."""
    command = (str(ACTIONLINT), "-no-color", *map(str, sorted((ROOT / ".github" / "workflows").glob("*.yaml"))))
    ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_e9_the_image_is_pinned_listed_and_signed() -> None:
    """Base images get digests before it is built; it has an SBOM and provenance, and is signed by digest."""
    build = RELEASE.index("docker buildx build")
    assert 0 < RELEASE.index("python3 -m tools.pin_base") < build
    arguments = RELEASE[build : RELEASE.index("\n\n", build) if "\n\n" in RELEASE[build:] else None]
    assert "--sbom true --provenance mode=max" in re.sub(r"\s+", " ", arguments)
    assert re.search(r"cosign\" sign --yes --recursive \"\$IMAGE@\$digest\"", RELEASE)
    given = set(re.findall(r"--build-arg \"(\w+)=", RELEASE))
    taken = {step.text.partition("=")[0] for step in stages()[-1] if step.instruction == "ARG"}
    assert given == taken


def test_the_released_chart_names_the_released_image(tmp_path: Path) -> None:
    """The defaults, without a registry, are replaced by where the image was pushed to, and nothing else is."""
    (command,) = re.findall(r"^ *(sed --in-place .*values\.yaml)$", RELEASE, re.MULTILINE)
    (tmp_path / "charts" / "dnsserver").mkdir(parents=True)
    copy = tmp_path / "charts" / "dnsserver" / "values.yaml"
    before = (ROOT / "charts" / "dnsserver" / "values.yaml").read_text()
    copy.write_text(before)
    environment = os.environ | {"REPOSITORY": "somebody/dnsserver"}  # an earlier step has made it, in lower case
    subprocess.run(("bash", "-euc", command), check=True, cwd=tmp_path, env=environment)
    changed, original = yaml.safe_load(copy.read_text()), yaml.safe_load(before)
    assert changed.pop("image") == original.pop("image") | {"registry": "ghcr.io", "repository": "somebody/dnsserver"}
    assert changed == original
