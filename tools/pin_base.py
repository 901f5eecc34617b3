"""Pin the Dockerfile's base images by digest: `FROM name:tag` becomes `FROM name:tag@sha256:...`.

The registry is asked through `docker buildx imagetools`, so this runs where there is docker, as the release workflow
does; what is pinned already stays, and Dependabot moves it. With `--check` it only says whether all are pinned.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

DOCKERFILE = Path(__file__).parents[1] / "Dockerfile"
FROM = re.compile(r"^(FROM )(?P<image>[^\s@$]+:[^\s@$]+)(?=$| AS )", re.MULTILINE)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(image: str) -> str:
    """Return the digest of an image's index, all its platforms together. Raises `CalledProcessError`."""
    command = ("docker", "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", image)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def pin(text: str, digest: Callable[[str], str]) -> str:
    """Return a Dockerfile whose images have digests. Raises `ValueError` for what is none."""

    def pinned(match: re.Match[str]) -> str:
        found = digest(match["image"])
        if not DIGEST.fullmatch(found):
            raise ValueError(f"{found!r} is not the digest of {match['image']}")
        return f"{match[0]}@{found}"

    return FROM.sub(pinned, text)


def main(arguments: list[str]) -> int:
    """Pin, or check; returns the exit code."""
    text = DOCKERFILE.read_text()
    if arguments == ["--check"]:
        unpinned = [match["image"] for match in FROM.finditer(text)]
        sys.stderr.writelines(f"{image} has no digest\n" for image in unpinned)
        return bool(unpinned)
    DOCKERFILE.write_text(pin(text, digest_of))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
