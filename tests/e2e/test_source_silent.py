"""A run that never saw a frame is no success."""

from __future__ import annotations

import json

from command import Run


def test_a_camera_that_never_sends_a_frame_ends_with_code_3_and_a_sentence(egomon: Run) -> None:
    address = "rtmp+listen://127.0.0.1:0/Open"
    done = egomon("live", "--device", address, "--duration", "1s", "--json", "--store", "none")
    assert done.returncode == 3
    assert "no frame came from" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["frames"]["decoded"] == 0
    assert "Traceback" not in done.stderr
