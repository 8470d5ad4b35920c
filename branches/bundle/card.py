"""The card of a model bundle (`bundle.json`): all that must match between training and live use."""

from __future__ import annotations

from typing import Literal

import msgspec

from egomon.branches.bundle.libraries import LOADERS

BUNDLE_SCHEMA = 1
"""Version of the card; a loader refuses any other."""

OnnxFileName = Literal["encoder.onnx", "encoder-int8.onnx", "large.onnx"]
CropMode = Literal["center", "center_floor", "squash", "letterbox"]
Interpolation = Literal["bicubic", "bilinear"]


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True):
    """From a picture of any size to the tower's input; the defaults are CLIP's."""

    crop: CropMode = "center"
    """How a picture becomes square, see `ImagePreparer`."""
    crop_pct: float = 1.0
    """Share of the scaled side that the cut keeps, above 0 to 1: the picture is scaled to
    floor(image_px / crop_pct)."""
    interpolation: Interpolation = "bicubic"
    """Of the scaling, always with antialiasing."""
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    """Of red, green and blue, subtracted from values of 0 to 1 ..."""
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    """... which are then divided by this."""


class FrameEncoderCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The frame encoder."""

    library: str
    """`open_clip`, `timm`, `dcr`, `lite0`, or the name that another package brings under the entry
    points `egomon.encoders`. `bundled`: an architecture of `egomon.branches.encoders` whose weights
    lie in the bundle. `none`: vectors come precomputed, no live use."""
    architecture: str
    """Model name of the library (`ViT-B-32-quickgelu`), or of the bundled registry."""
    weights: str | None = None
    """Pretrained tag, local file or folder, hub id; `random:SEED` in tests; `bundle` where the
    weights lie in `model.safetensors` under `encoder.`."""
    weights_sha256: str | None = None
    """Hash of the weights that the heads were trained on; loading refuses another."""
    image_px: int
    """Side of the square input, pixels."""
    crop: CropMode | None = None
    """This and the next four are a `Preprocessing`. None: the tower's own, which
    `build_frame_encoder` fills in and feature sets and bundles record."""
    crop_pct: float | None = None
    interpolation: Interpolation | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    dim: int
    """Length D of a frame vector."""
    options: dict[str, int | float | str | bool] = {}
    """Constructor arguments of a bundled architecture."""

    @property
    def preprocessing(self) -> Preprocessing:
        """As recorded, with CLIP's values for what is None."""
        given = {name: getattr(self, name) for name in Preprocessing.__struct_fields__}
        return Preprocessing(**{name: value for name, value in given.items() if value is not None})

    def recorded(self) -> FrameEncoderCard:
        """The card of vectors that exist: what it leaves out is CLIP's preprocessing.

        Files that were written before a field existed mean that. Precomputed vectors have none,
        and encoders of other packages have their own.
        """
        if self.library not in (*LOADERS, "bundled"):
            return self
        return msgspec.structs.replace(self, **msgspec.structs.asdict(self.preprocessing))


class LargeEncoderCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The embedding model of the large branch."""

    library: Literal["qwen3_vl"] = "qwen3_vl"
    weights: str
    """Hub id, local folder, or `bundle` for the folder `large/` beside the card."""
    weights_sha256: str | None = None
    instruction: str = "Classify the action in this video."
    frames: int = 32
    """Frames T resampled from the segment (even)."""
    frame_px: int = 224
    """Side of the square frames that are handed over; the detail size the buffer keeps."""
    crop: Literal["squash", "letterbox"] = "squash"
    """How a frame becomes square; `letterbox` keeps its proportions. This and the next two have
    the values of bundles that are older than them."""
    sampling: Literal["grid", "source"] = "grid"
    """What the T frames are taken from: the sampled frames (`grid`), or every frame of the video
    (`source`): the first at or after each of T evenly spread times, see `spread_indices`."""
    rules: Literal["fixed", "official"] = "fixed"
    """`fixed`: always T frames, repeated where there are fewer. `official`, as the authors' own
    code for Qwen3-VL-Embedding: no frame is repeated, a frame has at least as many pixels as its
    processor makes of any, and their rule for the end of the instruction."""
    max_tokens: int = 1024
    """Visual token budget of one clip: (T/2)(px/32)^2 must not exceed it."""
    dim: int
    """MRL dimension: the vector is cut to it, then normalised."""
    probe: str = ""
    """h_l of `branches.remote.probe.probe_clip`, half precision in base64, which a server's vector
    is compared with; empty = not recorded."""
    least_cosine: float = 0.99
    """Of the two; a server below it is refused."""


class SmallCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The context branch h_s = psi_s([h_c; h_f; h_c * h_f])."""

    kind: Literal["uemcm", "taught", "step_filter", "evidence"] = "uemcm"
    """`evidence`: a linear psi_s stands beside counted evidence about steps and their order."""
    header: Literal["meanP", "seqTransf", "seqTransf-light"] = "meanP"
    """CLIP4Clip's temporal header over frame vectors. Cards that are older than the third name call
    the light one seqTransf; the shapes of their weights tell."""
    header_layers: int = 0
    header_heads: int = 0
    header_width: int = 0
    """Width of the temporal header; 0 = the encoder's dim."""
    width: int = 512
    """Width of h_s."""
    context: bool = True
    """False: fine clip only (an ablation)."""
    steps: tuple[str, ...] = ()
    """Step names of the auxiliary head, in the order of its outputs; empty = no such head."""
    workflows: tuple[str, ...] = ()
    """Workflow names of the auxiliary head; empty = no such head."""
    members: int = 1
    """Heads fitted with different seeds whose logits are averaged."""
    options: dict[str, int | float | str | bool] = {}


class GateCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The adaptive gate."""

    kind: Literal["learned", "mean"] = "learned"
    width: int = 512
    """Width of the projections P_s h_s and P_l h_l."""


class StreamCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sampling, segmentation and context."""

    fps: float = 4.0
    """Sampling grid, frames a second of media time."""
    fine_frames: int = 32
    """T: most frames of the fine clip, uniformly gathered."""
    context_frames: int = 32
    """N: most frames of the context, uniformly gathered."""
    context_max_seconds: float = 3600.0
    context_from: Literal["context_start", "recording_start"] = "context_start"
    """Where V^c began in training: with each segment's `context_start`, such as HoloAssist's coarse
    action, or with the recording. Live it is the recording, or the last reset."""
    context_until: Literal["segment_end", "segment_start", "recording_end"] = "segment_end"
    """Where V^c ends. `recording_end` looks ahead (trained offline); live it is `segment_end`."""
    policy: Literal["fixed", "activity", "given"] = "fixed"
    length_seconds: float = 2.0
    """Fixed windows: length."""
    stride_seconds: float = 1.0
    """Fixed windows: distance of starts."""
    shortest_seconds: float = 1.0
    """Activity boundaries: shorter ones are dropped."""
    longest_seconds: float = 12.0
    """Activity boundaries: longer ones are cut here."""
    activity_on: float = 0.5
    """Activity probability that opens a segment."""
    activity_off: float = 0.5
    """Activity probability below which it closes."""
    activity_hold_seconds: float = 0.4
    """How long the probability must stay below `activity_off` before the segment closes."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From log odds to a probability under the deployment prior: sigmoid(x / T + b)."""

    temperature: float = 1.0
    bias: float = 0.0


class DecisionCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds, all on calibrated probabilities, and how alerts open and close."""

    threshold_fused: float = 0.5
    threshold_small: float = 0.5
    """Used where no large branch answered."""
    threshold_high: float = 1.1
    """A single segment at or above opens an alert at once; above 1 = never."""
    consecutive: int = 1
    """`need`: an alert opens when this many ..."""
    window: int = 1
    """... of the last `window` segments are at or above the threshold."""
    off_ratio: float = 0.8
    """An open alert closes once p stays below off_ratio * threshold for `keep_seconds`."""
    keep_seconds: float = 0.0
    cooldown_seconds: float = 3.0
    """Least time between the end of one alert and the start of the next, for overlapping
    windows; segments that do not overlap are judged one by one."""
    flag_low: float = 0.05
    """See `asks_large`."""
    flag_high: float = 1.0
    calibration_small: Calibration = Calibration()
    calibration_fused: Calibration = Calibration()
    false_alarms_per_hour: float | None = None
    """The budget on correct video that the thresholds were chosen for."""

    def asks_large(self, p_small: float) -> bool:
        """Return whether a segment of this small p, in [0, 1], goes to the large branch."""
        return self.flag_low <= p_small <= self.flag_high


class GuardCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Out-of-domain guard; its arrays lie in the weights under `guard.`."""

    kind: Literal["mahalanobis"] = "mahalanobis"
    limit: float
    enter_segments: int = 2
    """Segments in a row above the limit before the monitor goes out of domain."""
    leave_segments: int = 2


class DataCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Training data of the bundle."""

    name: str
    licence: str
    attribution: str = ""
    recordings: int = 0
    segments: int = 0
    prior: float | None = None
    """Share of mistakes among the training segments."""
    fitted_on: str = ""
    """8 hex digits for each recording that the heads were fitted on, so that an evaluation can tell
    that it asks about what was seen; empty = not noted."""


class OnnxFileCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One network's ONNX form: a file that is refused if it is another one."""

    sha256: str
    """Of the file."""
    opset: int
    """Of ONNX's own operators."""
    dtype: Literal["float32", "int8"] = "float32"
    """What its products are computed in."""
    cosine: float
    """Least cosine of its vectors with those of the torch form, on made-up input."""


class BundleCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`bundle.json`."""

    schema: int = BUNDLE_SCHEMA
    name: str
    description: str
    """One sentence for `egomon models`; says if it is a demonstration."""
    demonstration: bool = False
    """True: not meant for real work; every alert says so."""
    created: str
    """Date, ISO 8601."""
    egomon_version: str
    licence: str
    frame_encoder: FrameEncoderCard
    small: SmallCard
    large: LargeEncoderCard | None = None
    large_width: int = 256
    """Hidden width of g_l."""
    gate: GateCard | None = None
    stream: StreamCard = StreamCard()
    decision: DecisionCard = DecisionCard()
    guard: GuardCard | None = None
    activity_width: int = 0
    """Hidden width of the activity model (arrays under `activity.`); 0 = none in the bundle."""
    runtime: dict[OnnxFileName, OnnxFileCard] = {}
    """Networks that the bundle also has as ONNX, by file name in its folder `onnx/`; the torch form
    stays the reference."""
    data: tuple[DataCard, ...] = ()
    metrics: dict[str, float] = {}
    """Measured on held-out data; keys name set and metric, e.g. `simulated/roc_auc`."""
    notes: str = ""
