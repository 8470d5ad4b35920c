"""Settings from flags, environment (`EGOMON_*`), a TOML file and defaults, in that order."""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from egomon import endpoints
from egomon.errors import ConfigError

FILE_NAME = "egomon.toml"


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
    threads: int | None = Field(
        None, description="Torch threads; default: cores - 1 live, all cores in replay"
    )
    large: bool = Field(True, description="Use the large branch where the bundle has one")


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
    wait: bool = Field(False, description="Keep trying if the source is not there at the start")
    give_up_seconds: float | None = Field(
        None, gt=0, description="Live: end the run once a lost source stayed away so long"
    )
    size: str | None = Field(
        None, description="Camera resolution, e.g. 1280x720", pattern=r"^[1-9]\d*x[1-9]\d*$"
    )
    fps: float | None = Field(None, gt=0, description="Camera frame rate")
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
    control: str | None = Field(endpoints.CONTROL, description="ZeroMQ endpoint for requests")
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
    max_mb: int = Field(1024, gt=0, description="Bound on the clips kept, megabytes")
    keep_days: float = Field(7.0, gt=0, description="Older clips are removed")


class SinkSettings(Section):
    """Where events also go."""

    uris: tuple[str, ...] = Field(
        (), description="file:PATH (JSON lines), or NAME:... of an installed package"
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


class Settings(BaseSettings):
    """Everything that `egomon live` and `egomon replay` can be told."""

    model_config = SettingsConfigDict(
        env_prefix="EGOMON_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    model: ModelSettings = ModelSettings()
    source: SourceSettings = SourceSettings()
    segments: SegmentSettings = SegmentSettings()
    decision: DecisionSettings = DecisionSettings()
    bus: BusSettings = BusSettings()
    store: StoreSettings = StoreSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    sinks: SinkSettings = SinkSettings()
    metrics: MetricsSettings = MetricsSettings()
    view: ViewSettings = ViewSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the merged tables and the environment: no .env file is read by surprise."""
        return (init_settings, env_settings)


_ROOT = 0
"""The user whose files everybody may trust."""


def config_path(explicit: Path | None) -> Path | None:
    """The file in use: the given one, else `egomon.toml` here, else the user's, else none."""
    if explicit is not None:
        if not explicit.is_file():
            raise ConfigError(f"configuration file {explicit} not found")
        return explicit
    import platformdirs

    for folder in (Path(), Path(platformdirs.user_config_dir("egomon"))):
        if (folder / FILE_NAME).is_file():
            _check_owner(folder / FILE_NAME)
            return folder / FILE_NAME
    return None


def _check_owner(path: Path) -> None:
    """A file that was found, not given, must be the user's own: it may open ports and run sinks."""
    found = path.stat()
    if found.st_uid not in (os.geteuid(), _ROOT) or found.st_mode & stat.S_IWOTH:
        raise ConfigError(
            f"{path.absolute()} belongs to another user or may be changed by everybody, so it is "
            f"not obeyed; give it with --config if you trust it, or chmod o-w it"
        )


def read_config(path: Path | None) -> dict[str, Any]:
    """Tables of a TOML file.

    Raises:
        ConfigError: not TOML.
    """
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error


def load_settings(
    path: Path | None = None, flags: Mapping[str, Mapping[str, Any]] | None = None
) -> Settings:
    """Merge defaults < file < environment < flags; flags that are None were not given.

    Raises:
        ConfigError: unknown key (with the nearest known one) or a value out of range.
    """
    found = config_path(path)
    tables = read_config(found)
    try:
        _Explicit.model_validate(tables)  # the file alone first: its errors name the file
        merged = _environment_over(tables)
        for section, values in (flags or {}).items():
            given = {key: value for key, value in values.items() if value is not None}
            merged.setdefault(section, {}).update(given)
        return _Explicit.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_explain(error, found)) from error


class _Explicit(Settings):
    """Settings whose every source is already merged."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def _environment_over(tables: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    merged = {section: dict(values) for section, values in tables.items()}
    only_environment = Settings().model_dump(exclude_unset=True)
    for section, values in only_environment.items():
        merged.setdefault(section, {}).update(values)
    return merged


def _explain(error: ValidationError, path: Path | None) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    where = f" (in {path})" if path is not None else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys()
        near = difflib.get_close_matches(place, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; sections: {', '.join(_sections())}"
        return f"unknown setting {place}{where}{hint}"
    return f"setting {place}: {first['msg']}, got {first.get('input')!r}{where}"


def _sections() -> list[str]:
    return list(Settings.model_fields)


def _known_keys() -> list[str]:
    keys = _sections()
    for name, field in Settings.model_fields.items():
        section = field.annotation
        assert section is not None
        keys += [f"{name}.{key}" for key in section.model_fields]
    return keys
