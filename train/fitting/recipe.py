"""Recipes: one TOML file a training job; bundled ones go by name."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from egomon.branches.bundle.card import StreamCard
from egomon.branches.bundle.card_check import NAME_PATTERN
from egomon.errors import ConfigError
from egomon.train.evaluation.scoring import ContextMode

FOLDER = Path(__file__).parent / "recipes"

Positive = Annotated[float, msgspec.Meta(gt=0)]


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `egomon train`."""

    name: str
    """Of the bundle; `default` gives it the name of its folder."""
    description: str
    kind: Literal["uemcm", "evidence"] = "uemcm"
    stream: StreamCard = StreamCard()
    fit_windows: bool = False
    """Live windows as long as the median training segment, at half that distance, whatever
    `stream` says: heads judge best what looks like what they were fitted on."""
    seed: int = 0
    false_alarms_per_hour: float = 6.0
    """Budget on correct work that the threshold is chosen for."""

    header: Literal["meanP", "seqTransf", "seqTransf-light"] = "meanP"
    header_start: str = ""
    """Whose weights seqTransf starts from: a CLIP4Clip checkpoint, a folder or file of CLIP (its
    text transformer), or `ARCHITECTURE:TAG` of open_clip; empty = random."""
    header_layers: int = 0
    header_width: int = 0
    header_heads: int = 0
    width: int = 512
    dropout: float = 0.1
    context: bool | ContextMode = "causal"
    """V^c: `causal`, up to the segment, as live (true in older files); `offline`, the whole
    recording, what comes after too; `none` (false)."""
    members: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    """Heads of different seeds, averaged in one bundle."""
    large: bool | None = None
    """Also fit the large head and the gate, on cached large-branch vectors; None = where the set
    has them and there is one member."""
    large_width: int = 256
    gate: Literal["learned", "mean"] = "learned"
    gate_width: int = 128
    auxiliary: float = 0.5
    """Weight of the losses of z_s and z_l alone, beside that of the gate."""
    branch_dropout: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    """Share of training samples with one branch only (branch dropout)."""
    step_weight: float = 0.0
    """Weight of the auxiliary step and workflow labels; 0 = no such heads."""
    epochs: int = 5
    patience: int = 3
    """Epochs without a better validation PR-AUC before training stops."""
    batch: int = 128
    at_least: int = 4
    """Mistakes in every batch, at least; 0 = as they fall."""
    lr: float = 1e-3
    weight_decay: float = 0.01
    lambdas: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Weights of re-weighted CE, AUC and logit-adjusted CE."""
    beta: float = 1.0
    """Of the effective number of samples; 1 = inverse frequency."""
    tau: float = 1.0
    """Strength of the logit adjustment."""

    penalties: Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)] = (0.01, 0.03, 0.1)
    """Of the kind `evidence`: variances of the weights of statistics without a prior; a fit
    chooses one."""
    shares: Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)] = (0.25, 0.5)
    """Weights of psi_s beside the statistics; a fit chooses one."""
    prior: dict[str, tuple[float, float]] = {}
    """Weights of statistics that other data gave, now and over earlier segments; the others lean
    on 0."""
    prior_variance: Positive = 0.001
    """Of weights around their prior."""
    cv_seeds: int = 3
    """Cross-validations of the kind `evidence`, each with other folds."""

    @property
    def context_mode(self) -> ContextMode:
        """The context by name."""
        if isinstance(self.context, bool):
            return "causal" if self.context else "none"
        return self.context


def bundle_name(recipe: Recipe, out: Path) -> str:
    """The name of the bundle that a recipe makes in a folder; its own where the folder's cannot be.

    >>> bundle_name(Recipe(name="default", description=""), Path("runs/My model"))
    'my-model'
    """
    own = out.resolve().name.lower().replace(" ", "-")
    return own if recipe.name == "default" and NAME_PATTERN.fullmatch(own) else recipe.name


def load_recipe(ref: str | Path) -> Recipe:
    """A bundled name, or a TOML file; its key `base` names a bundled recipe that it changes.

    Raises:
        ConfigError: if there is no such recipe, or a key is unknown or has a bad value.
    """
    path = Path(ref)
    if not path.is_file() and (FOLDER / f"{ref}.toml").is_file():
        path = FOLDER / f"{ref}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.toml")))
        raise ConfigError(f"no recipe {str(ref)!r} ({error.strerror}); bundled: {known}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error
    if "base" in table:
        table = _on_top(path, table)
    try:
        return msgspec.convert(table, Recipe)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error


def _on_top(path: Path, table: dict[str, Any]) -> dict[str, Any]:
    """The table with what it leaves out from the bundled recipe that it names."""
    base = table.pop("base")
    home = FOLDER / f"{base}.toml"
    if not isinstance(base, str) or home.parent != FOLDER or not home.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.toml")))
        raise ConfigError(
            f"{path}: base is {base!r}, which is no bundled recipe; there are: {known}"
        )
    under = tomllib.loads(home.read_text(encoding="utf-8"))
    parts = {
        key: under[key] | table[key]
        for key in ("stream", "prior")
        if isinstance(under.get(key), dict) and isinstance(table.get(key), dict)
    }
    return under | table | parts
