"""Layers of small heads in NumPy, float32: linear, LayerNorm, GELU, softmax, sigmoid.

Heads are a few thousand multiplications a segment: a run-time of their own would cost more to
start than they cost in a day.
"""

from __future__ import annotations

import math

import numpy as np

from egomon.branches.bundle.weights import Tensors
from egomon.branches.interfaces import Float32

# Abramowitz and Stegun 7.1.26: within 1.5e-7.
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


def linear(weights: Tensors, name: str, x: Float32) -> Float32:
    """X (..., I) to W x + b (..., O), W (O, I) under `name.weight`, b under `name.bias`."""
    out: Float32 = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return out


def layer_norm(weights: Tensors, name: str, x: Float32, epsilon: float = 1e-5) -> Float32:
    """LayerNorm over the last axis of (..., D)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    normed: Float32 = centred / np.sqrt(variance + np.float32(epsilon))
    return np.asarray(normed * weights[f"{name}.weight"] + weights[f"{name}.bias"], np.float32)


def unit_rows(x: Float32) -> Float32:
    """(..., D) divided by its norm; zero stays zero."""
    norms = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.asarray(x / np.maximum(norms, np.float32(1e-12)), np.float32)


def gelu(x: Float32) -> Float32:
    """The exact GELU, x Phi(x)."""
    z = np.abs(x.astype(np.float64)) / math.sqrt(2.0)
    t = 1.0 / (1.0 + 0.3275911 * z)
    tail = np.zeros_like(t)
    for factor in reversed(_ERF):
        tail = (tail + factor) * t
    erf = np.copysign(1.0 - tail * np.exp(-z * z), x)
    return np.asarray(x * (0.5 * (1.0 + erf)), np.float32)


def softmax(x: Float32) -> Float32:
    """Over the last axis of (..., K)."""
    raised = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), np.float32)


def sigmoid(x: Float32) -> Float32:
    """1 / (1 + exp(-x)); large values of either sign do not overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)), np.float32)
