"""The tables of the settings file, with the meaning, range and default of each key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from egomon import endpoints

_Positive = Annotated[float, Meta(gt=0)]
_Probability = Annotated[float, Meta(ge=0, le=1)]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; unknown keys are errors."""


class ModelSettings(Section, frozen=True, kw_only=True):
    """Which bundle, and on what it runs."""

    name: Annotated[str, Meta(description="Bundled name, folder or hub id of the model bundle")] = (
        "workbench"
    )
    device: Annotated[str, Meta(description="auto, cpu, cuda or cuda:N")] = "auto"
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "int8"],
        Meta(
            description="Number format of the encoders; auto = float32 on CPU, int8 = frame "
            "encoder in ONNX Runtime"
        ),
    ] = "auto"
    engine: Annotated[
        Literal["auto", "torch", "onnx", "cuda", "tensorrt", "openvino", "coreml"],
        Meta(
            description="What runs the networks; auto = ONNX Runtime on the CPU where the "
            "bundle has an ONNX form, else torch"
        ),
    ] = "auto"
    threads: Annotated[
        int | None,
        Meta(description="Threads of a network; default: cores - 1 live, all cores in replay"),
    ] = None
    most_fps: Annotated[
        _Positive | None,
        Meta(
            description="Encode no more frames a second than this; default: as the "
            "bundle was trained",
        ),
    ] = None
    large: Annotated[bool, Meta(description="Use the large branch where the bundle has one")] = True
    others: Annotated[
        dict[str, Path],
        Meta(
            description="Bundles that a client may turn to, by name: { tea = '/data/tea-bundle' }"
        ),
    ] = {}


class LargeSettings(Section, frozen=True, kw_only=True):
    """A server that computes the large branch's embeddings, for many monitors."""

    endpoint: Annotated[
        str | None,
        Meta(description="Address of its /v1, e.g. http://gpu:8000/v1; None = on this machine"),
    ] = None
    model: Annotated[
        str | None,
        Meta(description="Name under which it serves the model; default: the only one it serves"),
    ] = None
    api_key_file: Annotated[
        Path | None, Meta(description="File with its key; or in the variable EGOMON_LARGE_API_KEY")
    ] = None
    ca_file: Annotated[
        Path | None, Meta(description="Certificates for https://; default: the system's")
    ] = None
    in_flight: Annotated[int, Meta(ge=1, le=64, description="Most calls under way at a time")] = 4


class SourceSettings(Section, frozen=True, kw_only=True):
    """How a source is opened and buffered."""

    kind: Annotated[
        Literal["file", "live"] | None, Meta(description="Override what the source is")
    ] = None
    open_timeout_seconds: Annotated[
        _Positive, Meta(description="Longest wait for a source to open")
    ] = 15.0
    read_timeout_seconds: Annotated[_Positive, Meta(description="Longest wait for data")] = 5.0
    rtsp_transport: Annotated[
        Literal["auto", "tcp", "udp", "udp_multicast", "http"],
        Meta(description="How RTSP packets travel; auto: TCP, and UDP where that is refused"),
    ] = "auto"
    staleness_seconds: Annotated[
        _Positive, Meta(description="Live frames that waited longer are dropped")
    ] = 0.5
    buffer_seconds: Annotated[_Positive, Meta(description="How far back frames are kept")] = 15.0
    buffer_mb: Annotated[int, Meta(gt=0, description="Bound on the pixels held, megabytes")] = 512
    reset_gap_seconds: Annotated[
        float | None, Meta(description="A hole longer than this begins a new workflow")
    ] = 60.0
    cycle: Annotated[
        Literal["auto", "manual"],
        Meta(
            description="Taught work begins anew by itself once it is done and its first step "
            "comes back; or only when it is told to"
        ),
    ] = "auto"
    wait: Annotated[
        bool, Meta(description="Keep trying if the source is not there at the start")
    ] = False
    give_up_seconds: Annotated[
        _Positive | None,
        Meta(description="Live: end the run once a lost source stayed away so long"),
    ] = None
    size: Annotated[
        Annotated[str, Meta(pattern=r"^[1-9]\d*x[1-9]\d*\Z")] | None,
        Meta(description="Camera resolution, e.g. 1280x720"),
    ] = None
    fps: Annotated[_Positive | None, Meta(description="Camera frame rate")] = None
    certificate: Annotated[
        Path | None,
        Meta(description="Phone: certificate of its page (PEM); default: a self-made one"),
    ] = None
    private_key: Annotated[
        Path | None,
        Meta(description="Phone: key of the certificate (PEM), where it is a file of its own"),
    ] = None
    gaze: Annotated[
        bool, Meta(description="Pupil Labs glasses: also read where the wearer looks")
    ] = True

    @property
    def camera_size(self) -> tuple[int, int] | None:
        """Width and height in pixels; None = as the camera likes."""
        if self.size is None:
            return None
        width, _, height = self.size.partition("x")
        return int(width), int(height)


class SegmentSettings(Section, frozen=True, kw_only=True):
    """Where segments begin and end; None = as the bundle says."""

    policy: Annotated[
        Literal["fixed", "activity", "given"] | None,
        Meta(description="fixed windows, where activity begins and ends, or spans of `file`"),
    ] = None
    length_seconds: Annotated[_Positive | None, Meta(description="fixed: length of a window")] = (
        None
    )
    stride_seconds: Annotated[
        _Positive | None, Meta(description="fixed: from one window's start to the next")
    ] = None
    shortest_seconds: Annotated[
        _Positive | None, Meta(description="activity: shortest segment")
    ] = None
    longest_seconds: Annotated[_Positive | None, Meta(description="activity: longest segment")] = (
        None
    )
    file: Annotated[Path | None, Meta(description="segments.jsonl with given spans")] = None


class DecisionSettings(Section, frozen=True, kw_only=True):
    """When an alert goes out; None = as the bundle says."""

    emit: Annotated[
        Literal["gated", "provisional", "small-only"],
        Meta(description="gated: after the gate; provisional: at once, then revised"),
    ] = "gated"
    threshold_fused: Annotated[
        _Probability | None,
        Meta(description="Probability that raises an alert, after the gate"),
    ] = None
    threshold_small: Annotated[
        _Probability | None, Meta(description="The same without the large branch")
    ] = None
    cooldown_seconds: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="Shortest time between the end of an alert and the next one"),
    ] = None
    refine_deadline_seconds: Annotated[
        _Positive, Meta(description="Live: longest wait for the large branch")
    ] = 3.0
    refine_calls_per_minute: Annotated[
        _Positive | None, Meta(description="Budget of large-branch calls")
    ] = None


class BusSettings(Section, frozen=True, kw_only=True):
    """Sockets."""

    publish: Annotated[tuple[str, ...], Meta(description="ZeroMQ endpoints for alerts")] = (
        endpoints.PUBLISH,
    )
    control: Annotated[
        str | None,
        Meta(
            description="ZeroMQ endpoint for requests; `none` = without; default: on this "
            "machine, one port above the first of `publish`"
        ),
    ] = None
    curve: Annotated[Path | None, Meta(description="Folder of keys made by `egomon keygen`")] = None
    insecure_bind: Annotated[bool, Meta(description="Allow other machines in without keys")] = False


class StoreSettings(Section, frozen=True, kw_only=True):
    """The event store."""

    path: Annotated[
        str | None,
        Meta(description="SQLite file; `none` = memory only; default: user data folder when live"),
    ] = None
    keep_days: Annotated[_Positive, Meta(description="Older events are removed")] = 30.0
    max_mb: Annotated[int, Meta(gt=0, description="Bound on the size of the file, megabytes")] = 512


class EvidenceSettings(Section, frozen=True, kw_only=True):
    """Pictures and clips of alerts."""

    snapshot: Annotated[
        bool, Meta(description="Attach a JPEG of the segment to each new alert")
    ] = False
    folder: Annotated[
        Path | None,
        Meta(description="Write a clip for each alert here, as the source sent it where possible"),
    ] = None
    before_seconds: Annotated[float, Meta(ge=0, description="Clip: seconds before the segment")] = (
        3.0
    )
    after_seconds: Annotated[float, Meta(ge=0, description="Clip: seconds after the segment")] = 2.0
    blur_faces: Annotated[
        Path | None,
        Meta(description="Blur faces in pictures and clips with this YuNet model (.onnx)"),
    ] = None
    describe: Annotated[
        str | None,
        Meta(
            description="OpenAI-compatible endpoint whose vision model says what each alert's "
            "pictures show; the words never change the verdict. Its key: EGOMON_DESCRIBE_KEY"
        ),
    ] = None
    describe_model: Annotated[
        str | None, Meta(description="Name of that model; default: the endpoint's first")
    ] = None
    max_mb: Annotated[int, Meta(gt=0, description="Bound on the clips kept, megabytes")] = 1024
    keep_days: Annotated[_Positive, Meta(description="Older clips are removed")] = 7.0


class SinkSettings(Section, frozen=True, kw_only=True):
    """Where events also go."""

    uris: Annotated[
        tuple[str, ...],
        Meta(
            description="file:PATH, http(s)://, exec:COMMAND, mqtt(s)://, apprise:URL, say:, "
            "sound:, or NAME:... of an installed package"
        ),
    ] = ()
    site: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")] | None,
        Meta(
            description="Name of this place in MQTT topics; default: the host's name",
        ),
    ] = None


class MetricsSettings(Section, frozen=True, kw_only=True):
    """Prometheus and health pages."""

    address: Annotated[str | None, Meta(description="host:port, e.g. 127.0.0.1:9464")] = None
    allow_degraded: Annotated[
        bool, Meta(description="/readyz: ready also while the large branch is not available")
    ] = False


class ViewSettings(Section, frozen=True, kw_only=True):
    """The live page."""

    address: Annotated[
        str | None,
        Meta(description="host:port; beyond this machine it asks for the token printed at start"),
    ] = None
