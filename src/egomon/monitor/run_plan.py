"""The plan of a run: settings over a bundle's card, checked before anything starts."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from egomon.branches.bundle.card import DecisionCard, LargeEncoderCard, StreamCard
from egomon.branches.encoders.preprocess import ImagePreparer
from egomon.branches.interfaces import Gate
from egomon.branches.load_bundle import Bundle
from egomon.branches.segment_scorer import ScoringModels
from egomon.branches.segmentation import make_segmenter
from egomon.config import Settings, plain
from egomon.errors import BundleError, ConfigError, DataError
from egomon.fusion.gate import load_gate
from egomon.stream.frame import PrepareImage
from egomon.stream.segmenter import Segmenter, Span

log = logging.getLogger(__name__)

EVIDENCE_PIXEL_FRAMES = 1


@dataclass(frozen=True, slots=True, eq=False)
class RunPlan:
    """Models and parameters of a run."""

    bundle: Bundle
    gate: Gate | None
    settings: Settings
    stream: StreamCard
    decision: DecisionCard
    use_large: bool

    @property
    def period_seconds(self) -> float:
        """Seconds between two sampled frames."""
        return 1.0 / self.stream.fps

    @property
    def detail(self) -> PrepareImage | None:
        """Resize of the larger picture for the large branch; None without a large branch.

        To the square, as `egomon extract` and the large branch itself do it.
        """
        large = self.large
        return None if large is None else ImagePreparer(large.frame_px, large.crop)

    @property
    def large(self) -> LargeEncoderCard | None:
        """The large encoder, where it is used."""
        return self.bundle.card.large if self.use_large else None

    @property
    def samples_source(self) -> bool:
        """True if the large branch takes its own frames, of all that the source has."""
        return self.large is not None and self.large.sampling == "source"

    @property
    def scoring_models(self) -> ScoringModels:
        """Models of a segment scorer."""
        frames = 0 if self.large is None else self.large.frames
        return ScoringModels(
            small=self.bundle.small,
            stream=self.stream,
            dim=self.bundle.card.frame_encoder.dim,
            guard=self.bundle.guard,
            guard_card=self.bundle.card.guard,
            activity=self.bundle.activity if self.stream.policy == "activity" else None,
            cycles=self.settings.source.cycle == "auto",
            pixel_frames=max(frames, EVIDENCE_PIXEL_FRAMES),
            clip_frames=frames if self.samples_source else 0,
        )

    @property
    def idle_close_seconds(self) -> float:
        """Media time without a hit after which an alert ends."""
        if self.stream.policy == "fixed":
            return self.stream.stride_seconds + 2 * self.period_seconds
        return 1.0

    def segmenter(self, given: Sequence[Span]) -> Segmenter:
        """Build a segmenter for one source."""
        return make_segmenter(self.stream, given)

    def fingerprint(self, reference: str) -> str:
        """Hash (8 hex digits) that names a replay of this file with this model and settings."""
        path = Path(reference)
        size = path.stat().st_size if path.is_file() else 0
        parts = [path.name, size, self.bundle.hash]
        tables = plain(self.settings)
        chosen = {section: tables[section] for section in ("model", "segments", "decision")}
        text = json.dumps([*parts, msgspec.json.encode(chosen).decode()])
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def make_plan(bundle: Bundle, settings: Settings) -> RunPlan:
    """Merge settings with the bundle's card and check them.

    Raises:
        BundleError: the bundle cannot be used live.
        ConfigError: settings that do not fit together or the bundle.
    """
    card = bundle.card
    if bundle.encoder is None:
        raise BundleError(
            f"bundle {card.name!r} has no frame encoder for video; it scores stored features only"
        )
    if card.stream.context_until == "recording_end":
        log.warning(
            "bundle %s was trained offline, with what comes after a segment as context; live there "
            "is only what came before, so figures of its training do not hold",
            card.name,
        )
    segments, decision = settings.segments, settings.decision
    changes = {
        key: value
        for key in (
            "policy",
            "length_seconds",
            "stride_seconds",
            "shortest_seconds",
            "longest_seconds",
        )
        if (value := getattr(segments, key)) is not None
    }
    if settings.model.most_fps is not None:
        changes["fps"] = min(card.stream.fps, settings.model.most_fps)
    if segments.file is not None:
        changes.setdefault("policy", "given")
    stream = msgspec.structs.replace(card.stream, **changes)
    if stream.policy == "given" and segments.file is None:
        raise ConfigError("segment policy `given` needs a file with spans: --segments-file FILE")
    if stream.policy == "activity" and bundle.activity is None:
        raise ConfigError(
            f"bundle {card.name!r} has no activity model; use --policy fixed or given"
        )
    thresholds = {
        key: value
        for key in ("threshold_fused", "threshold_small", "cooldown_seconds")
        if (value := getattr(decision, key)) is not None
    }
    gate = load_gate(bundle)
    return RunPlan(
        bundle=bundle,
        gate=gate,
        settings=settings,
        stream=stream,
        decision=msgspec.structs.replace(card.decision, **thresholds),
        use_large=settings.model.large
        and card.large is not None
        and gate is not None
        and decision.emit != "small-only",
    )


def read_spans(path: Path | None, recording: str) -> list[Span]:
    """Read the given spans of one recording from a `segments.jsonl`; lines of others are skipped.

    Raises:
        DataError: unreadable, not JSON, or times that are no span; names file and line.
    """
    if path is None:
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read segments from {path}: {error}") from error
    spans = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, text = row.get("recording"), row.get("text")
            start, end = float(row["start"]), float(row["end"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}, line {number}: expected an object with start and end ({error})"
            ) from error
        if not 0 <= start < end:
            raise DataError(f"{path}, line {number}: start {start} must lie before end {end}")
        if name is None or Path(str(name)).stem == Path(recording).stem:
            spans.append(Span(start, end, text))
    return spans
