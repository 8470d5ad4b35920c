from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from huggingface_hub import constants

from egomon.branches.bundle import hub
from egomon.branches.bundle.hub import download_folder, hub_access, hub_reachable
from egomon.errors import BundleError


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_last", None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield server


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{bound.getsockname()[1]}")
        yield


@pytest.mark.usefixtures("listening")
def test_where_the_hub_answers_clients_stay_online() -> None:
    assert hub_reachable()
    with hub_access():
        assert not constants.HF_HUB_OFFLINE


@pytest.mark.usefixtures("closed")
def test_where_it_does_not_clients_are_offline_for_the_call_only() -> None:
    assert not hub_reachable()
    with hub_access():
        assert constants.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE
    with pytest.raises(KeyError), hub_access():
        raise KeyError
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.usefixtures("listening")
def test_an_offline_mode_set_by_the_user_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with hub_access():
        assert constants.HF_HUB_OFFLINE
    assert constants.HF_HUB_OFFLINE


def test_a_proxy_is_probed_instead_of_the_hub(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listening.getsockname()[1]}")
    assert hub_reachable()


def test_a_name_server_that_hangs_costs_no_more_than_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = threading.Event()

    def hang(*arguments: object, **options: object) -> object:
        release.wait()
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    assert not hub_reachable(timeout_seconds=0.2)
    release.set()


@pytest.mark.usefixtures("closed")
def test_a_repository_that_cannot_be_fetched_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BundleError, match=r"'owner/name'.*cannot be reached.*local folder"):
        download_folder("owner/name", ["*"])
