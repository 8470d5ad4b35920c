"""How many threads models use."""

from __future__ import annotations

import sys

import pytest
import torch

from egomon.branches.threads import choose_threads, set_torch_threads
from egomon.errors import ConfigError


def test_models_leave_a_core_to_capture_only_when_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("egomon.branches.threads.usable_cores", lambda: 4)
    assert choose_threads() == 3
    assert choose_threads(live=False) == 4
    assert choose_threads(2) == 2
    monkeypatch.setattr("egomon.branches.threads.usable_cores", lambda: 1)
    assert choose_threads() == 1
    with pytest.raises(ConfigError, match="1 or more"):
        choose_threads(0)


def test_torch_is_told_where_it_is_loaded_and_not_imported_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    set_torch_threads(3)
    monkeypatch.delitem(sys.modules, "torch")
    set_torch_threads(5)
    assert chosen == [3]
    assert "torch" not in sys.modules
