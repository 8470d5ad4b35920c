"""For tests of sources, frame encoders and sinks of your own: contract suites and fakes.

A suite raises an AssertionError, one sentence, where a promise is not kept. It works under any
test runner and needs no package beside egomon.
"""

from egomon.fusion.messages.session_file import SessionWriter, read_session
from egomon.testing.encoder_contract import check_encoder
from egomon.testing.fakes import BrightnessEncoder, FakeClock, FrameList, RecordingListener
from egomon.testing.messages import sample_messages
from egomon.testing.sink_contract import check_sink
from egomon.testing.source_contract import check_source

__all__ = [
    "BrightnessEncoder",
    "FakeClock",
    "FrameList",
    "RecordingListener",
    "SessionWriter",
    "check_encoder",
    "check_sink",
    "check_source",
    "read_session",
    "sample_messages",
]
