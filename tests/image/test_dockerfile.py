"""What the Dockerfile says, and that what it says can be done."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from tests.image import dockerfile
from tests.image.dockerfile import ROOT, SITE, Step, stages
from tools import pin_base

FIRST, LAST = stages()
HADOLINT = ROOT / ".tools" / "bin" / "hadolint"
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def normal(name: str) -> str:
    """Return a distribution's name as an index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: str) -> dict[str, str]:
    """Return the versions that a file of requirements pins."""
    return {normal(name): version for name, version in PINNED.findall((ROOT / path).read_text())}


def value(instruction: str) -> str:
    """Return what the last stage's only such instruction says."""
    (found,) = (step.text for step in LAST if step.instruction == instruction)
    return found


@pytest.mark.skipif(not HADOLINT.exists(), reason="no hadolint: `make tools` fetches it")
def test_hadolint_has_nothing_to_say() -> None:
    """Neither about Docker's rules nor, by shellcheck, about the shell's."""
    ended = subprocess.run((HADOLINT, "--no-color", ROOT / "Dockerfile"), check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_nobody_of_importance() -> None:
    """The user is a number that is not root's, and no step after it changes that."""
    assert value("USER") == "65532:65532"
    assert not [step for step in LAST[LAST.index(Step("USER", "65532:65532")) :] if step.instruction in ("RUN", "COPY")]


def test_no_shell_is_needed() -> None:
    """The command is a list, so that nothing but itself is started, and takes CoreDNS's arguments as they are."""
    assert value("ENTRYPOINT") == '["/opt/dnsserver/bin/dnsserver"]'
    assert {"CMD", "RUN", "SHELL"}.isdisjoint(step.instruction for step in LAST)


def test_both_stages_have_the_same_python() -> None:
    """What is compiled in the first runs in the second; the second is the slim one."""
    (build, slim) = (step.text.split()[0].partition("@")[0].partition(":")[2] for step in (FIRST[0], LAST[0]))
    assert (build.replace("-", "-slim-", 1), slim.count("slim")) == (slim, 1)


def test_labels() -> None:
    """Version and revision are the build's arguments, and the default is this version."""
    text = value("LABEL")
    for name in ("version", "revision"):
        assert f'org.opencontainers.image.{name}="${{{name.upper()}}}"' in text
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert Step("ARG", f"VERSION={version}") in LAST


def test_e9_packages_come_by_hash() -> None:
    """Each has hashes, and pip is told to insist; versions are those that the tests run with."""
    (installs,) = (step.text for step in FIRST if "requirements/runtime.txt" in step.text and step.instruction == "RUN")
    assert installs.count("pip install --require-hashes") + installs.count("install --no-compile --require-hashes") == 2
    constraints = pins("constraints.txt")
    for path in ("requirements/build.txt", "requirements/runtime.txt"):
        text = (ROOT / path).read_text()
        blocks = re.split(r"\n(?=[a-z])", text)[1:]
        assert blocks
        assert all("--hash=sha256:" in block for block in blocks)
        differing = {name for name, version in pins(path).items() if constraints.get(name, version) != version}
        assert not differing, "make lock"
    assert set(pins("requirements/runtime.txt")) <= set(constraints)


def test_e9_nothing_is_missing_or_too_much() -> None:
    """The image's packages are those that ours need, and those that these need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted: set[str] = set()
    queue = [re.split(r"[ <>=;\[]", text)[0] for text in project["dependencies"]]
    while queue:
        name = normal(queue.pop())
        if name in wanted:
            continue
        wanted.add(name)
        for text in metadata.requires(name) or ():
            marker = text.partition(";")[2]
            if "extra" not in marker and not re.search(r"python_(full_)?version\s*<\s*[\"']3\.1[01]", marker):
                queue.append(re.split(r"[ <>=;!~(\[]", text)[0])
    assert set(pins("requirements/runtime.txt")) == wanted, "make lock"


def test_e9_base_images_can_be_pinned() -> None:
    """Each gets the digest that the registry says; what has one keeps it, and rubbish is refused."""
    text = "FROM a.example/python:3.13 AS build\nRUN x\nFROM b.example/python:3.13-slim\nCOPY --from=build /x /x\n"
    digest = f"sha256:{'0' * 64}"
    pinned = pin_base.pin(text, lambda _image: digest)
    assert f"FROM a.example/python:3.13@{digest} AS build\n" in pinned
    assert f"FROM b.example/python:3.13-slim@{digest}\n" in pinned
    assert pin_base.pin(pinned, lambda _image: "never asked") == pinned
    with pytest.raises(ValueError, match="'latest' is not the digest of a"):
        pin_base.pin(text, lambda _image: "latest")
    assert len(pin_base.FROM.findall((ROOT / "Dockerfile").read_text())) + (
        (ROOT / "Dockerfile").read_text().count("@sha256:")
    ) == len(stages())


def test_what_is_copied_is_there() -> None:
    """And none of it is ignored, nor anything of a developer's own build."""
    steps = [step for step in FIRST if step.instruction == "COPY"]
    files = [path for step in steps for path in dockerfile.copied(step)]
    assert {Path("dnsserver/cli.py"), Path("dnsserver/fast/compiled.pyx"), Path("setup.py")} <= set(files)
    assert not [path for path in files if dockerfile.ignored(path)]
    assert not [path for path in files if path.suffix in (".so", ".pyc", ".c")]


@pytest.mark.timeout(300)  # the fixture installs packages and compiles; a minute or two where the machine is busy
def test_every_step_can_be_carried_out(image: Path) -> None:
    """The result is compiled, has its entry point, and no pip, compiler or typed models."""
    command = image / "opt" / "dnsserver" / "bin" / "dnsserver"
    ended = subprocess.run((command, "-version"), check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.rstrip().endswith(", compiled")
    site = image / SITE
    assert not (site / "pip").exists()
    assert not (site / "Cython").exists()
    assert len(list((site / "kubernetes").rglob("models/*.py"))) == 2  # the packages' own


@pytest.mark.timeout(300)
def test_nothing_of_the_package_is_left_behind(image: Path) -> None:
    """Every file that the package reads at run time is in the wheel, and every module is compiled."""
    left = {".c", ".h", ".pyi", ".pyx", ".so", ".pyc"}
    for path in sorted((image / "src" / "dnsserver").rglob("*")):
        name = path.relative_to(image / "src")
        if path.is_file() and path.suffix not in left:
            assert (image / SITE / name).is_file(), name
        if path.suffix == ".py":
            assert list((image / SITE / name.parent / "__pycache__").glob(f"{path.stem}.*.pyc")), name


@pytest.mark.timeout(300)
def test_the_slim_client_does_all_that_is_asked_of_it(image: Path, tmp_path: Path) -> None:
    """The tests of configuration and connection pass with the Kubernetes client as the image has it."""
    (tmp_path / "kubernetes").symlink_to(image / SITE / "kubernetes")
    python = sys.executable
    tests = ("tests/sources/test_kubernetes.py",)
    code = "import kubernetes, sys, pytest; print(kubernetes.__file__); sys.exit(pytest.main(sys.argv[1:]))"
    ended = subprocess.run(
        (python, "-c", code, "-q", "-p", "no:cacheprovider", "-p", "no:cov", *tests),
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert ended.stdout.startswith(str(tmp_path)), ended.stdout + ended.stderr
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize(("said", "code"), [("CPython 3.13.1, compiled", 0), ("CPython 3.13.1, not compiled", 1)])
def test_an_image_without_the_compiled_loop_is_none(said: str, code: int) -> None:
    """The last step asks the installed command, and fails where it was not compiled."""
    (command,) = re.findall(r"^/opt/dnsserver/bin/dnsserver -version \| (.*)$", FIRST[-1].text)
    ended = subprocess.run(
        ("bash", "-c", command), check=False, input=f"dnsserver-0.1.0\nlinux/x86_64, {said}\n", text=True
    )
    assert ended.returncode == code
