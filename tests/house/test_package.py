"""What is handed out: the package once, with all it needs at run time, and nothing of the house around it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.house.sources import PACKAGE, ROOT, settings

LINKS = {"graphs", "nodes", "state", "guards", "evals"}
SOURCE_NAMES = {
    path.relative_to(ROOT).as_posix()
    for path in PACKAGE.rglob("*")
    if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build sdist, and the wheel from it, with no network; return their folder."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel_names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def sdist_names(built: Path) -> list[str]:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        return [member.name.partition("/")[2] for member in archive.getmembers()]


def test_the_wheel_holds_the_package_once_and_nothing_else(wheel_names: list[str]) -> None:
    code = [name for name in wheel_names if ".dist-info/" not in name]

    assert sorted(code) == sorted(SOURCE_NAMES)
    assert len(wheel_names) == len(set(wheel_names))


def test_the_wheel_tells_type_checkers_that_it_is_typed(wheel_names: list[str]) -> None:
    assert "guardgraph/py.typed" in wheel_names


def test_the_wheel_brings_the_migrations(wheel_names: list[str]) -> None:
    prefix = "guardgraph/storage/sql/migrations/"
    migrations = sorted(name for name in SOURCE_NAMES if name.startswith(prefix))

    assert f"{prefix}env.py" in wheel_names
    assert [name for name in migrations if "/versions/" in name]
    assert set(migrations) <= set(wheel_names)


def test_the_wheel_installs_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/entry_points.txt")]
        text = archive.read(name).decode()

    assert text.split() == ["[console_scripts]", "guardgraph", "=", "guardgraph.__main__:main"]


def test_the_wheel_names_every_extra_its_license_and_its_oldest_python(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = HeaderParser().parsestr(archive.read(name).decode())

    extras = {"agents", "bench", "dev", "draw", "encryption", "mysql", "postgres", "routing"}
    assert set(metadata.get_all("Provides-Extra") or ()) == extras
    assert metadata["License-Expression"] == "MIT AND EPL-2.0"  # the latter is that of elkjs
    assert metadata.get_all("License-File") == ["LICENSE", "guardgraph/graphs/draw/elkjs/LICENSE.md"]
    assert metadata["Requires-Python"] == ">=3.11"


def test_the_sdist_holds_the_package_once_with_its_tests_and_docs(sdist_names: list[str]) -> None:
    assert set(sdist_names) >= SOURCE_NAMES
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile", "tests/conftest.py", "docs/README.md"} <= set(
        sdist_names
    )
    assert len(sdist_names) == len(set(sdist_names))
    assert not [name for name in sdist_names if name.partition("/")[0] in LINKS]


def test_the_installed_version_is_that_of_the_project() -> None:
    try:
        installed = version("guardgraph")
    except PackageNotFoundError:
        pytest.fail("guardgraph is not installed; `make tests` installs it")

    assert installed == settings()["project"]["version"]
