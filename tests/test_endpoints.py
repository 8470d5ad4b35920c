"""Where requests go when nobody says so: the monitor and its listeners must agree."""

from __future__ import annotations

import pytest

from egomon.endpoints import CONTROL, PUBLISH, control_beside, monitor_control
from egomon.errors import UsageError


@pytest.mark.parametrize("publish", [PUBLISH, "tcp://127.0.0.1:6000"])
def test_a_listener_asks_where_the_monitor_answers(publish: str) -> None:
    assert control_beside(publish) == monitor_control((publish, "tcp://127.0.0.1:9"), None)


def test_the_usual_endpoints_are_neighbours_and_requests_stay_on_the_machine() -> None:
    assert control_beside(PUBLISH) == CONTROL
    assert monitor_control(("tcp://0.0.0.0:6000",), None) == "tcp://127.0.0.1:6001"
    assert control_beside("tcp://[::1]:6000") == "tcp://[::1]:6001"


@pytest.mark.parametrize("publish", ["tcp://127.0.0.1:*", "ipc:///run/e", "tcp://h:65535", "h:1"])
def test_an_endpoint_without_a_port_above_has_none_beside_it(publish: str) -> None:
    assert control_beside(publish) is None
    assert monitor_control((publish,), None) == CONTROL


def test_what_is_asked_for_is_taken() -> None:
    assert monitor_control((PUBLISH,), "tcp://127.0.0.1:7") == "tcp://127.0.0.1:7"
    assert monitor_control((PUBLISH,), "none") is None
    assert monitor_control((), None) == CONTROL


@pytest.mark.parametrize(
    ("publish", "given"), [((PUBLISH, CONTROL), None), ((PUBLISH, "tcp://h:1"), "tcp://h:1")]
)
def test_events_and_requests_need_an_address_each(
    publish: tuple[str, ...], given: str | None
) -> None:
    with pytest.raises(UsageError, match=r"is both --pub and --control.*give --control another"):
        monitor_control(publish, given)
    assert monitor_control(publish, "none") is None


@pytest.mark.parametrize("port", ["*", "0"])
def test_ports_that_the_system_chooses_never_clash(port: str) -> None:
    endpoint = f"tcp://127.0.0.1:{port}"
    assert monitor_control([endpoint], endpoint) == endpoint
