"""What clients may ask a running monitor to do, besides what its store answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from egomon.branches.load_bundle import Bundle, load_bundle
from egomon.config_sections import ModelSettings
from egomon.errors import EgomonError
from egomon.fusion.media.images import SNAPSHOT_PX, picture_of
from egomon.fusion.sinks.sink import Mute, SeenAlerts
from egomon.stream.pictures.jpeg import jpeg_of

if TYPE_CHECKING:
    from egomon.fusion.media.face_blur import FaceBlur
    from egomon.monitor.workers.source_worker import SourceWorker


class MonitorOperations:
    """The `Operations` of a live run.

    Args:
        inputs: the sources.
        model: has the names that bundles may be asked for by.
        stop: ends the run in order.
        exchange: turns to another bundle.
    """

    def __init__(
        self,
        inputs: Sequence[SourceWorker],
        model: ModelSettings,
        *,
        stop: Callable[[], None],
        exchange: Callable[[Bundle], None],
    ) -> None:
        self._inputs = {item.name: item for item in inputs}
        self._model, self._stop, self._exchange = model, stop, exchange
        self.mute_with = Mute()
        """Silences speech and tones of this machine."""
        self.seen = SeenAlerts()
        """Alerts that this machine need not tell again."""
        self.on_mute: Callable[[float], None] = lambda seconds: None
        """Hears for how many seconds they are silent from now on, whoever asked for it."""
        self.blur: FaceBlur | None = None
        """Covers faces in pictures; where that fails, there is no picture."""
        self._wanted: str | None = None
        self.fault: str | None = None
        """Why the bundle that was asked for last is not in use; None if it is."""

    @property
    def names(self) -> Mapping[str, str]:
        """References of bundles by the names that clients may use."""
        return {"workbench": "workbench", **{k: str(v) for k, v in self._model.others.items()}}

    def picture(self, source: str) -> bytes | None:
        """See `Operations`."""
        item = self._inputs.get(source)
        frame = None if item is None else item.buffer.latest()
        if item is None or frame is None:
            return None
        size = item.size
        if self.blur is not None:
            [frame], size = self.blur.frames([frame], size), None
        return jpeg_of(picture_of(frame, size, width=SNAPSHOT_PX))

    def mute(self, seconds: float) -> bool:
        """See `Operations`."""
        self.mute_with.begin(seconds)
        self.on_mute(seconds)
        return True

    def model(self, model: str) -> bool:
        """See `Operations`; `work` does it, as loading takes seconds."""
        if model not in self.names:
            return False
        self._wanted = model
        return True

    def stop(self) -> bool:
        """See `Operations`."""
        self._stop()
        return True

    def work(self) -> None:
        """Turn to the bundle that was asked for, if one was; for the main thread."""
        name, self._wanted = self._wanted, None
        if name is None:
            return
        model = self._model
        try:
            self._exchange(
                load_bundle(
                    self.names[name], device=model.device, dtype=model.dtype, engine=model.engine
                )
            )
            self.fault = None
        except EgomonError as error:
            self.fault = f"the bundle {name} is not in use: {error}"
