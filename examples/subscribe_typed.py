"""Print every alert: open ones first, losses filled from the monitor's store or reported."""

import argparse
import sys

from egomon import AlertSubscriber
from egomon.fusion.messages.types import AlertData
from egomon.fusion.transport.subscriber import Gap, Message, PublisherRestarted, Stale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("endpoint", nargs="?", default="tcp://127.0.0.1:5556")
    parser.add_argument("--control", default="tcp://127.0.0.1:5557")
    options = parser.parse_args()
    with AlertSubscriber(options.endpoint, control=options.control) as subscriber:
        for event in subscriber:
            match event:
                case Message(data=AlertData() as alert):
                    print(alert.alert_id, alert.rev, alert.phase, alert.explanation, flush=True)
                case Gap() | Stale() | PublisherRestarted():
                    print(event, file=sys.stderr)  # each says itself in one sentence


if __name__ == "__main__":
    main()
