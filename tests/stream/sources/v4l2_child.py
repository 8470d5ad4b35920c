"""Reads frames from a camera and tells what it hears; see test_source_v4l2."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from egomon.errors import SourceOpenError
from egomon.stream.source import Discontinuity, StateChange
from egomon.stream.source_options import OpenContext, SourceOptions
from egomon.stream.sources.webcam.camera import open_camera


def tell(**what: object) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(what) + "\n")


class Listener:
    """Tells what it hears; plugs the camera in again when it is missed."""

    def __init__(self, device: Path) -> None:
        self._device = device

    def on_state(self, change: StateChange) -> None:
        """See `SourceListener`."""
        tell(state=change.state, code=change.code, attempt=change.attempt)
        if change.attempt == 2:
            self._device.touch()

    def on_gap(self, gap: Discontinuity) -> None:
        """See `SourceListener`."""
        tell(gap=gap.cause, count=gap.count)


def main(device: str, frames: int, options: dict[str, Any]) -> None:
    """Read so many frames, or say why it cannot be opened."""
    listener = Listener(Path(device))
    context = OpenContext(options=SourceOptions(**options), listener=listener)
    try:
        source = open_camera(device, context)
    except SourceOpenError as error:
        tell(error=str(error), code=error.code)
        return
    tell(width=source.info.width, height=source.info.height, fps=source.info.fps)
    with source:
        for _ in range(frames):
            grab = source.read()
            assert grab is not None
            corners = grab.to_rgb()[0, [0, -1]].tolist()
            tell(index=grab.index, epoch=grab.epoch, t_seconds=grab.t_seconds, corners=corners)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))
