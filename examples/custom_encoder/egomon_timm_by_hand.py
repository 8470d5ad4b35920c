"""A tower of timm as a frame encoder: `"library": "timm-by-hand"` in a card or encoder file."""

import cv2
import numpy as np
import timm
import torch

from egomon import EncoderContext, FrameEncoderCard


class TimmByHand:
    """Any timm model by name, without its classifier; weights are timm's, or random."""

    def __init__(self, card: FrameEncoderCard, context: EncoderContext) -> None:
        torch.manual_seed(0)
        self._model = timm.create_model(
            card.architecture, pretrained=card.weights == "pretrained", num_classes=0
        ).eval()
        self._device = "cuda" if context.device == "auto" and torch.cuda.is_available() else "cpu"
        self._model.to(self._device)
        own = self._model.pretrained_cfg
        self._mean = torch.tensor(card.mean or own["mean"]).view(3, 1, 1)
        self._std = torch.tensor(card.std or own["std"]).view(3, 1, 1)
        self.dim, self.image_px = self._model.num_features, card.image_px

    def prepare(self, rgb: np.ndarray) -> np.ndarray:
        return cv2.resize(rgb, (self.image_px, self.image_px), interpolation=cv2.INTER_AREA)

    @torch.inference_mode()
    def encode(self, images: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        x = (x - self._mean) / self._std
        return self._model(x.to(self._device)).float().cpu().numpy()
