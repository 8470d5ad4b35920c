"""Which bundle watches, and where the page teaches into, by the options of `live`."""

from __future__ import annotations

from pathlib import Path

import pytest

from egomon.cli.page.folder import chosen_folder
from egomon.config import load_settings


def test_the_page_offers_teaching_where_no_other_bundle_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    plain, other = load_settings(None), load_settings(None, {"model": {"name": "elsewhere"}})
    offered = chosen_folder(None, plain)
    assert offered is not None
    assert (offered.root, offered.is_wanted) == (tmp_path / "egomon" / "work", False)
    assert chosen_folder(None, other) is None
    wanted = chosen_folder(tmp_path / "mine", other)
    assert wanted is not None
    assert (wanted.root, wanted.is_wanted) == (tmp_path / "mine", True)
    assert not wanted.steps.are_learned
    assert list(tmp_path.iterdir()) == [], "nothing is made before the first run"
