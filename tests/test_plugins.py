"""Names of plug-ins: found, clashing, broken; each error names the package to blame."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import Distribution, EntryPoint, PathDistribution
from pathlib import Path
from typing import Any

import pytest

from egomon.errors import PluginError, UsageError
from egomon.plugins import PluginRegistry
from egomon.stream.source import Source
from egomon.stream.source_options import OpenContext

OWN = {"file": "egomon.stream.sources.file:open_file"}


def opens_nothing(reference: str, context: OpenContext) -> Any:
    return None


def raises(reference: str, context: OpenContext) -> Any:
    raise RuntimeError("no\nscreen")


def refuses(reference: str, context: OpenContext) -> Any:
    raise UsageError("write foo://SCREEN")


NUMBER = 7


@pytest.fixture
def package(tmp_path: Path) -> Callable[[str, str], Distribution]:
    """Makes an installed package with one entry point each."""

    def make(name: str, entries: str) -> Distribution:
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[egomon.sources]\n{entries}\n")
        return PathDistribution(folder)

    return make


def registry(*packages: Distribution) -> PluginRegistry:
    found = [entry for package in packages for entry in package.entry_points]
    return PluginRegistry("egomon.sources", "source", OWN, lambda group: found)


def test_a_name_of_an_installed_package_is_found_and_called(package: Any) -> None:
    names = registry(package("egomon-foo", "foo = fakes:FrameList"))
    assert names.names() == ["file", "foo"]
    plugin = names.find("foo")
    assert plugin is not None
    assert str(plugin) == "the source 'foo' of package egomon-foo 1.0"
    assert names.make(plugin, Source, [(0.0, 0, 0)]).read() is not None
    assert names.find("bar") is None
    names.check()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("file = fakes:FrameList", "has the name of one that egomon brings"),
        ("Foo = fakes:FrameList", "is no name"),
    ],
)
def test_a_name_that_must_not_be_is_refused_without_importing_anything(
    package: Any, entries: str, message: str
) -> None:
    names = registry(package("egomon-foo", entries.replace("fakes", "missing_module")))
    with pytest.raises(PluginError, match=f"package egomon-foo 1.0 {message}"):
        names.check()


def test_a_name_that_two_packages_bring_is_refused_and_both_are_named(package: Any) -> None:
    both = package("egomon-foo", "foo = a:b"), package("egomon-bar", "foo = c:d")
    with pytest.raises(PluginError, match=r"egomon-bar 1\.0 and egomon-foo 1\.0 bring the same"):
        registry(*both).check()


@pytest.mark.parametrize(
    ("home", "message"),
    [
        ("missing_module:open", "cannot be loaded: ModuleNotFoundError: "),
        ("test_plugins:missing", "cannot be loaded: AttributeError: "),
        ("test_plugins:NUMBER", "is of type int and cannot be called"),
        ("test_plugins:raises", "failed: RuntimeError: no screen; "),
        ("test_plugins:opens_nothing", "gave a NoneType, which is no Source"),
    ],
)
def test_a_plugin_that_does_not_work_is_told_in_one_sentence_with_its_package(
    package: Any, home: str, message: str
) -> None:
    names = registry(package("egomon-foo", f"foo = {home}"))
    plugin = names.find("foo")
    assert plugin is not None
    start = re.escape(f"the source 'foo' of package egomon-foo 1.0 {message}")
    with pytest.raises(PluginError, match=f"^{start}[^\n]*$") as caught:
        names.make(plugin, Source, "foo://0", OpenContext())
    assert caught.value.exit_code == 2


def test_what_a_plugin_says_to_its_user_is_passed_on(package: Any) -> None:
    names = registry(package("egomon-foo", "foo = test_plugins:refuses"))
    plugin = names.find("foo")
    assert plugin is not None
    with pytest.raises(UsageError, match=r"^write foo://SCREEN$"):
        names.make(plugin, Source, "foo://", OpenContext())


def test_a_mistake_of_egomon_itself_is_blamed_on_no_package() -> None:
    names = PluginRegistry("egomon.sources", "source", {"own": "test_plugins:raises"}, lambda g: ())
    plugin = names.find("own")
    assert plugin is not None
    assert isinstance(plugin.entry, EntryPoint)
    with pytest.raises(RuntimeError):
        names.make(plugin, Source, "own:", OpenContext())
