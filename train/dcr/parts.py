"""The models of both stages: CLIP tower, projector and a frozen diffusion model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from egomon.errors import BundleError, MissingExtraError

EMPTY_TEXT_FILE = "empty_text.safetensors"
"""Optional, in the diffusion model's folder: `embedding` (77, C) of the empty prompt."""

Target = Literal["v", "epsilon"]


class Projector(nn.Module):
    """Class token to a diffusion condition: LayerNorm, linear, GELU, linear."""

    def __init__(self, token_dim: int, condition_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(token_dim),
            nn.Linear(token_dim, condition_dim),
            nn.GELU(),
            nn.Linear(condition_dim, condition_dim),
        )

    def forward(self, token: Tensor) -> Tensor:
        """(B, D) to (B, C)."""
        condition: Tensor = self.layers(token)
        return condition


class Generator:
    """A frozen Stable Diffusion: noises images and denoises them under a condition."""

    def __init__(self, unet: Any, vae: Any, scheduler: Any, empty_text: Tensor) -> None:
        self.unet = unet.eval().requires_grad_(False)
        self.vae = vae.eval().requires_grad_(False)
        self.scheduler = scheduler
        self.empty_text = empty_text

    @property
    def condition_dim(self) -> int:
        """Length C of a condition."""
        return int(self.unet.config.cross_attention_dim)

    @property
    def predicts(self) -> Target:
        """Target that the model was trained on: v in 2.1 at 768 px, epsilon in 2.1-base."""
        return "v" if self.scheduler.config.prediction_type == "v_prediction" else "epsilon"

    def to(self, device: torch.device, dtype: torch.dtype) -> Generator:
        """Move all parts."""
        self.unet.to(device, dtype)
        self.vae.to(device, dtype)
        self.empty_text = self.empty_text.to(device, dtype)
        return self

    @torch.no_grad()
    def noised(self, images: Tensor, target: Target) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, 3, H, W) in [-1, 1] to noised latents x_t, steps t (B,) and the target."""
        latents = self.vae.encode(images.to(self.vae.dtype)).latent_dist.sample()
        latents = latents * self.vae.config.scaling_factor
        noise = torch.randn_like(latents)
        most = self.scheduler.config.num_train_timesteps
        t = torch.randint(most, (len(latents),), device=latents.device)
        x_t = self.scheduler.add_noise(latents, noise, t)
        truth = noise if target == "epsilon" else self.scheduler.get_velocity(latents, noise, t)
        return x_t, t, truth

    def denoise(self, x_t: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """Run the UNet; the condition (B, C) is added to every token of the empty prompt."""
        words = self.empty_text + condition.to(self.empty_text.dtype)[:, None, :]
        predicted: Tensor = self.unet(x_t, t, encoder_hidden_states=words).sample
        return predicted


def load_generator(folder: Path) -> Generator:
    """A Stable Diffusion folder: unet, vae, scheduler, and text_encoder with tokenizer.

    Raises:
        MissingExtraError: without diffusers.
        BundleError: a part is missing or cannot be loaded.
    """
    try:
        import diffusers
    except ImportError as error:
        raise MissingExtraError("egomon dcr", "dcr") from error
    kinds: Any = diffusers  # its classes are partly typed, and not in every version
    own: dict[str, Any] = {"local_files_only": True, "low_cpu_mem_usage": False}
    try:
        return Generator(
            kinds.UNet2DConditionModel.from_pretrained(folder, subfolder="unet", **own),
            kinds.AutoencoderKL.from_pretrained(folder, subfolder="vae", **own),
            kinds.DDPMScheduler.from_pretrained(
                folder, subfolder="scheduler", local_files_only=True
            ),
            _empty_text(folder),
        )
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(
            f"{folder} is no Stable Diffusion folder (unet, vae, scheduler, text_encoder, "
            f"tokenizer): {error}"
        ) from error


def load_clip(folder: Path) -> Any:
    """A Hugging Face `CLIPModel` folder.

    Raises:
        BundleError: it cannot be loaded.
    """
    from transformers import CLIPModel

    try:
        model: Any = CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder} is no CLIPModel folder with safetensors: {error}") from error
    return model.eval().requires_grad_(False)


def token_of(clip: Any, pixels: Tensor) -> Tensor:
    """The projected class token (B, D) of normalised pixels."""
    token: Tensor = clip.get_image_features(pixel_values=pixels).pooler_output
    return token


@torch.no_grad()
def _empty_text(folder: Path) -> Tensor:
    if (folder / EMPTY_TEXT_FILE).is_file():
        return load_file(folder / EMPTY_TEXT_FILE)["embedding"]
    from transformers import AutoTokenizer, CLIPTextModel

    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    own: dict[str, Any] = {"subfolder": "text_encoder", "local_files_only": True}
    encoder: Any = CLIPTextModel.from_pretrained(folder, **own)
    length = encoder.config.max_position_embeddings
    ids = tokenizer([""], padding="max_length", max_length=length, return_tensors="pt").input_ids
    words: Tensor = encoder.eval()(ids).last_hidden_state[0]
    return words
