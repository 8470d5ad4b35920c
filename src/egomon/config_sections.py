"""The tables of the settings file, with the meaning, range and default of each key."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from egomon import endpoints


class Section(BaseModel):
    """A table of the file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(Section):
    """Which bundle, and on what it runs."""

    name: str = Field("workbench", description="Bundled name, folder or hub id of the model bundle")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    dtype: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto",
        description="Number format of the encoders; auto = float32 on CPU, int8 = frame encoder "
        "in ONNX Runtime",
    )
    engine: Literal["auto", "torch", "onnx", "cuda", "tensorrt", "openvino", "coreml"] = Field(
        "auto",
        description="What runs the networks; auto = ONNX Runtime on the CPU where the bundle has "
        "an ONNX form, else torch",
    )
    threads: int | None = Field(
        None, description="Threads of a network; default: cores - 1 live, all cores in replay"
    )
    most_fps: float | None = Field(
        None,
        gt=0,
        description="Encode no more frames a second than this; default: as the bundle was trained",
    )
    large: bool = Field(True, description="Use the large branch where the bundle has one")
    others: dict[str, Path] = Field(
        {}, description="Bundles that a client may turn to, by name: { tea = '/data/tea-bundle' }"
    )


class LargeSettings(Section):
    """A server that computes the large branch's embeddings, for many monitors."""

    endpoint: str | None = Field(
        None, description="Address of its /v1, e.g. http://gpu:8000/v1; None = on this machine"
    )
    model: str | None = Field(
        None, description="Name under which it serves the model; default: the only one it serves"
    )
    api_key_file: Path | None = Field(
        None, description="File with its key; or in the variable EGOMON_LARGE_API_KEY"
    )
    ca_file: Path | None = Field(
        None, description="Certificates for https://; default: the system's"
    )
    in_flight: int = Field(4, ge=1, le=64, description="Most calls under way at a time")


class SourceSettings(Section):
    """How a source is opened and buffered."""

    kind: Literal["file", "live"] | None = Field(None, description="Override what the source is")
    open_timeout_seconds: float = Field(15.0, gt=0, description="Longest wait for a source to open")
    read_timeout_seconds: float = Field(5.0, gt=0, description="Longest wait for data")
    rtsp_transport: Literal["auto", "tcp", "udp", "udp_multicast", "http"] = Field(
        "auto", description="How RTSP packets travel; auto: TCP, and UDP where that is refused"
    )
    staleness_seconds: float = Field(
        0.5, gt=0, description="Live frames that waited longer are dropped"
    )
    buffer_seconds: float = Field(15.0, gt=0, description="How far back frames are kept")
    buffer_mb: int = Field(512, gt=0, description="Bound on the pixels held, megabytes")
    reset_gap_seconds: float | None = Field(
        60.0, description="A hole longer than this begins a new workflow"
    )
    cycle: Literal["auto", "manual"] = Field(
        "auto",
        description="Taught work begins anew by itself once it is done and its first step comes "
        "back; or only when it is told to",
    )
    wait: bool = Field(False, description="Keep trying if the source is not there at the start")
    give_up_seconds: float | None = Field(
        None, gt=0, description="Live: end the run once a lost source stayed away so long"
    )
    size: str | None = Field(
        None, description="Camera resolution, e.g. 1280x720", pattern=r"^[1-9]\d*x[1-9]\d*$"
    )
    fps: float | None = Field(None, gt=0, description="Camera frame rate")
    certificate: Path | None = Field(
        None, description="Phone: certificate of its page (PEM); default: a self-made one"
    )
    private_key: Path | None = Field(
        None, description="Phone: key of the certificate (PEM), where it is a file of its own"
    )
    gaze: bool = Field(True, description="Pupil Labs glasses: also read where the wearer looks")

    @property
    def camera_size(self) -> tuple[int, int] | None:
        """Width and height in pixels; None = as the camera likes."""
        if self.size is None:
            return None
        width, _, height = self.size.partition("x")
        return int(width), int(height)


class SegmentSettings(Section):
    """Where segments begin and end; None = as the bundle says."""

    policy: Literal["fixed", "activity", "given"] | None = Field(
        None, description="fixed windows, where activity begins and ends, or spans of `file`"
    )
    length_seconds: float | None = Field(None, gt=0, description="fixed: length of a window")
    stride_seconds: float | None = Field(
        None, gt=0, description="fixed: from one window's start to the next"
    )
    shortest_seconds: float | None = Field(None, gt=0, description="activity: shortest segment")
    longest_seconds: float | None = Field(None, gt=0, description="activity: longest segment")
    file: Path | None = Field(None, description="segments.jsonl with given spans")


class DecisionSettings(Section):
    """When an alert goes out; None = as the bundle says."""

    emit: Literal["gated", "provisional", "small-only"] = Field(
        "gated", description="gated: after the gate; provisional: at once, then revised"
    )
    threshold_fused: float | None = Field(
        None, ge=0, le=1, description="Probability that raises an alert, after the gate"
    )
    threshold_small: float | None = Field(
        None, ge=0, le=1, description="The same without the large branch"
    )
    cooldown_seconds: float | None = Field(
        None, ge=0, description="Shortest time between the end of an alert and the next one"
    )
    refine_deadline_seconds: float = Field(
        3.0, gt=0, description="Live: longest wait for the large branch"
    )
    refine_calls_per_minute: float | None = Field(
        None, gt=0, description="Budget of large-branch calls"
    )


class BusSettings(Section):
    """Sockets."""

    publish: tuple[str, ...] = Field(
        (endpoints.PUBLISH,), description="ZeroMQ endpoints for alerts"
    )
    control: str | None = Field(
        None,
        description="ZeroMQ endpoint for requests; `none` = without; default: on this machine, one "
        "port above the first of `publish`",
    )
    curve: Path | None = Field(None, description="Folder of keys made by `egomon keygen`")
    insecure_bind: bool = Field(False, description="Allow other machines in without keys")


class StoreSettings(Section):
    """The event store."""

    path: str | None = Field(
        None, description="SQLite file; `none` = memory only; default: user data folder when live"
    )
    keep_days: float = Field(30.0, gt=0, description="Older events are removed")
    max_mb: int = Field(512, gt=0, description="Bound on the size of the file, megabytes")


class EvidenceSettings(Section):
    """Pictures and clips of alerts."""

    snapshot: bool = Field(False, description="Attach a JPEG of the segment to each new alert")
    folder: Path | None = Field(
        None, description="Write a clip for each alert here, as the source sent it where possible"
    )
    before_seconds: float = Field(3.0, ge=0, description="Clip: seconds before the segment")
    after_seconds: float = Field(2.0, ge=0, description="Clip: seconds after the segment")
    blur_faces: Path | None = Field(
        None, description="Blur faces in pictures and clips with this YuNet model (.onnx)"
    )
    describe: str | None = Field(
        None,
        description="OpenAI-compatible endpoint whose vision model says what each alert's pictures "
        "show; the words never change the verdict. Its key: EGOMON_DESCRIBE_KEY",
    )
    describe_model: str | None = Field(
        None, description="Name of that model; default: the endpoint's first"
    )
    max_mb: int = Field(1024, gt=0, description="Bound on the clips kept, megabytes")
    keep_days: float = Field(7.0, gt=0, description="Older clips are removed")


class SinkSettings(Section):
    """Where events also go."""

    uris: tuple[str, ...] = Field(
        (),
        description="file:PATH, http(s)://, exec:COMMAND, mqtt(s)://, apprise:URL, say:, sound:, "
        "or NAME:... of an installed package",
    )
    site: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="Name of this place in MQTT topics; default: the host's name",
    )


class MetricsSettings(Section):
    """Prometheus and health pages."""

    address: str | None = Field(None, description="host:port, e.g. 127.0.0.1:9464")
    allow_degraded: bool = Field(
        False, description="/readyz: ready also while the large branch is not available"
    )


class ViewSettings(Section):
    """The live page."""

    address: str | None = Field(
        None, description="host:port; beyond this machine it asks for the token printed at start"
    )
