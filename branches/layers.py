"""Layers of small heads in NumPy, float32: linear, LayerNorm, GELU, softmax, sigmoid.

Heads are a few thousand multiplications a segment: a run-time of their own would cost more to
start than they cost in a day.
"""

from __future__ import annotations

import math

import numpy as np

from egomon.branches.bundle.weights import Tensors
from egomon.branches.interfaces import Float32

_EPSILON = 1e-5
_erf = np.frompyfunc(math.erf, 1, 1)


def linear(weights: Tensors, name: str, x: Float32) -> Float32:
    """X (..., I) to W x + b (..., O), W (O, I) under `name.weight`, b under `name.bias`."""
    out: Float32 = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return out


def layer_norm(weights: Tensors, name: str, x: Float32) -> Float32:
    """LayerNorm over the last axis of (..., D)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    normed: Float32 = centred / np.sqrt(variance + np.float32(_EPSILON))
    return np.asarray(normed * weights[f"{name}.weight"] + weights[f"{name}.bias"], np.float32)


def gelu(x: Float32) -> Float32:
    """The exact GELU, x Phi(x)."""
    erf = np.asarray(_erf(x.astype(np.float64) / math.sqrt(2.0)), np.float64)
    return np.asarray(x * (0.5 * (1.0 + erf)), np.float32)


def softmax(x: Float32) -> Float32:
    """Over the last axis of (..., K)."""
    raised = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), np.float32)


def sigmoid(x: Float32) -> Float32:
    """1 / (1 + exp(-x)); large values of either sign do not overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)), np.float32)
