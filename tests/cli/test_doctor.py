import pytest

from egomon.cli.doctor import machine
from egomon.stream import priority


@pytest.mark.parametrize(
    ("granted", "stays", "advised"),
    [("nice", True, True), ("nice", False, False), ("real-time", True, False)],
)
def test_the_doctor_advises_real_time_only_where_a_nice_value_may_not_count(
    monkeypatch: pytest.MonkeyPatch, granted: str, stays: bool, advised: bool
) -> None:
    monkeypatch.setattr(priority, "raise_priority", lambda: granted)
    monkeypatch.setattr(priority, "nice_stays_in_session", lambda: stays)
    (result,) = machine._priority()
    assert granted in result.detail
    assert ("LimitRTPRIO" in result.advice) is advised
