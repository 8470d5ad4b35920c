import select
import threading

import pytest

from egomon.stream.channel import Channel, ChannelClosed, WakeUp


def test_items_come_in_order_and_the_end_after_the_last() -> None:
    channel: Channel[int] = Channel(4)
    for i in range(3):
        assert channel.put(i)
    channel.close()
    assert [channel.get(0) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ChannelClosed):
        channel.get(0)
    with pytest.raises(ChannelClosed):
        channel.put(9)


def test_a_full_channel_refuses_after_the_time_out() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    assert channel.put(2, timeout_seconds=0) is False
    assert channel.get(0) == 1
    assert channel.get(0) is None


def test_drop_oldest_makes_room_and_counts() -> None:
    channel: Channel[int] = Channel(2, on_full="drop_oldest")
    for i in range(5):
        channel.put(i)
    assert channel.dropped == 3
    assert [channel.get(0), channel.get(0)] == [3, 4]


def test_closing_frees_a_waiting_writer_and_a_waiting_reader() -> None:
    full: Channel[int] = Channel(1)
    full.put(1)
    empty: Channel[int] = Channel(1)
    ended: list[str] = []

    def write() -> None:
        with pytest.raises(ChannelClosed):
            full.put(2)
        ended.append("writer")

    def read() -> None:
        with pytest.raises(ChannelClosed):
            empty.get()
        ended.append("reader")

    threads = [threading.Thread(target=write), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    full.close()
    empty.close()
    for thread in threads:
        thread.join(5)
    assert sorted(ended) == ["reader", "writer"]


def test_a_wake_makes_its_descriptor_readable_until_it_is_cleared() -> None:
    wake = WakeUp()

    def readable() -> bool:
        return bool(select.select([wake.fileno()], [], [], 0)[0])

    assert not readable()
    channel: Channel[int] = Channel(1, wake=wake)
    channel.put(1)
    assert readable()
    wake.clear()
    assert not readable()
    for _ in range(100_000):  # more than a pipe holds: never blocks
        wake.notify()
    wake.clear()
    wake.close()
    wake.notify()
