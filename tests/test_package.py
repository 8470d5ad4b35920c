"""What an installed egomon holds, and what importing it costs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import egomon
from egomon.extras import EXTRAS, USES

ROOT = Path(__file__).parent.parent
FOLDERS = ("stream", "branches", "fusion", "train")
FACE = "src/egomon"


def sources() -> set[str]:
    """Every module of the project, as a path inside the package."""
    found = {str(p.relative_to(ROOT / FACE)) for p in (ROOT / FACE).glob("*.py")}
    for room in ("cli", "http", "monitor", "view", "report", "testing"):
        found |= {str(p.relative_to(ROOT / FACE)) for p in (ROOT / FACE / room).rglob("*.py")}
    for folder in FOLDERS:
        found |= {str(p.relative_to(ROOT)) for p in (ROOT / folder).rglob("*.py")}
    return {f"egomon/{name}" for name in found}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "copy"
    ignore = shutil.ignore_patterns(
        ".venv", ".git", "__pycache__", "*.egg-info", ".*_cache", "build", "node_modules"
    )
    shutil.copytree(ROOT, copy, symlinks=True, ignore=ignore)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"),
            *("--quiet", "--no-index", "--wheel-dir", str(folder), str(copy)),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(path).namelist())


def test_the_wheel_holds_every_module(wheel: set[str]) -> None:
    assert sources() - wheel == set()


def test_the_wheel_holds_the_data_that_modules_read(wheel: set[str]) -> None:
    for folder, pattern in (
        ("branches/bundles", "**/*"),
        ("fusion/messages/schema", "*.json"),
        ("train/fitting/recipes", "*.toml"),
    ):
        files = {p for p in (ROOT / folder).glob(pattern) if p.is_file()}
        missing = {str(p.relative_to(ROOT)) for p in files} - {
            n.removeprefix("egomon/") for n in wheel
        }
        assert missing == set()
    assets = {p for p in (ROOT / FACE / "report" / "assets").rglob("*") if p.is_file()}
    assert {f"egomon/report/assets/{p.name}" for p in assets} <= wheel
    assert "egomon/py.typed" in wheel


def test_no_folder_leaks_its_bare_name(wheel: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel if not name.startswith("egomon-")} == {"egomon"}


def test_public_names_resolve_and_are_sorted() -> None:
    assert egomon.__all__ == sorted(egomon.__all__)
    for name in egomon.__all__:
        assert getattr(egomon, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = egomon.nonsense


def test_a_subscriber_loads_neither_torch_nor_numpy() -> None:
    probe = (
        "import sys; from egomon import AlertSubscriber; "
        "sys.exit(sum(name in sys.modules for name in ('torch', 'numpy', 'cv2', 'av')))"
    )
    assert subprocess.run([sys.executable, "-c", probe], timeout=60, check=False).returncode == 0


def test_no_module_is_loaded_twice_under_its_bare_name() -> None:
    assert not set(FOLDERS) & set(sys.modules)


def test_the_changelog_begins_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert next(line for line in text.splitlines() if line.startswith("## ")).split()[1] == (
        egomon.__version__
    )


def test_every_extra_that_a_message_names_can_be_installed() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert set(EXTRAS) <= set(extras)
    assert set(EXTRAS) == set(USES)
    named = {
        found
        for folder in ("stream", "branches", "fusion", "train", "src/egomon")
        for path in (ROOT / folder).rglob("*.py")
        for found in re.findall(
            r'(?:needs_extra|MissingExtraError)\([^()]*?"(\w+)"\)', path.read_text("utf-8")
        )
    }
    assert {"torch", "hub", "sinks"} <= named <= set(EXTRAS)


def test_onnx_runtime_calls_nobody() -> None:
    code = "import os, egomon; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    given = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=given, capture_output=True, text=True, timeout=120
    )
    assert ran.stdout == "1\n", ran.stderr
