"""Numbers of messages by topic of a broker: what is new, what came before, what is lost."""

from __future__ import annotations

from collections import OrderedDict

# Names come from the network: whoever makes them up must not fill the memory.
MOST_TOPICS = 65_536


class TopicNumbers:
    """Remembers the newest number of each topic, and the boots before; bounded.

    A sink sends in order and waits for each acknowledgement, so a number that is not higher than
    the last one is a redelivery.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._past: OrderedDict[tuple[str, str], None] = OrderedDict()

    def meet(self, topic: str, boot: str, tseq: int) -> int | None:
        """How many messages are missing before this one; None if it came before.

        Args:
            topic: full MQTT topic.
            boot: run of the monitor.
            tseq: number of the message in topic and boot, from 1.
        """
        if (topic, boot) in self._past:
            return None
        known = self._last.get(topic)
        lost = 0
        if known is not None and known[0] == boot:
            if tseq <= known[1]:
                return None
            lost = tseq - known[1] - 1
        elif known is not None:
            self._past[topic, known[0]] = None
            while len(self._past) > MOST_TOPICS:
                self._past.popitem(last=False)
            lost = tseq - 1
        self._last[topic] = (boot, tseq)
        self._last.move_to_end(topic)
        while len(self._last) > MOST_TOPICS:
            self._last.popitem(last=False)
        return lost
