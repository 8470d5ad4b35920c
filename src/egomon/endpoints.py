"""Where a monitor publishes and answers unless it is told otherwise: this machine only."""

PUBLISH = "tcp://127.0.0.1:5556"
CONTROL = "tcp://127.0.0.1:5557"
