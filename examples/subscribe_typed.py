"""Print every alert: open ones first, losses filled from the monitor's store or reported."""

import argparse
import sys

from egomon import AlertSubscriber
from egomon.fusion.subscriber import Gap, Message, PublisherRestarted, Stale
from egomon.fusion.wire import AlertData


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
                case Gap(n=n):
                    print(f"{n} alerts were lost", file=sys.stderr)
                case Stale(silent_seconds=seconds):
                    print(f"nothing heard for {seconds:.0f} s", file=sys.stderr)
                case PublisherRestarted():
                    print("the monitor was restarted", file=sys.stderr)


if __name__ == "__main__":
    main()
