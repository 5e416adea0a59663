"""Random streams with names: one subject's draws never move another's."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MARKET = "market"


def stream(seed: int, owner: str, subject: str) -> np.random.Generator:
    """Return the generator of one subject (`returns`, `news`, ...) of one pair or of `MARKET`.

    It depends on these three values alone, so adding a pair or a subject changes no other draw.
    """
    return np.random.default_rng([seed, zlib.crc32(owner.encode()), zlib.crc32(subject.encode())])


def autoregress(shocks: FloatArray, decay: float, start: float) -> FloatArray:
    """Return the AR(1) series of unit variance that unit-variance shocks drive.

    Element t is `decay` times element t-1 plus `sqrt(1 - decay**2)` times shock t; `start` stands
    before the first element.
    """
    gain = (1.0 - decay * decay) ** 0.5
    return np.asarray(lfilter([gain], [1.0, -decay], shocks, zi=[decay * start])[0])


def stationary(generator: np.random.Generator, count: int, decay: float) -> FloatArray:
    """Return a Gaussian AR(1) series of unit variance that starts in its stationary law."""
    start = float(generator.standard_normal())
    return autoregress(generator.standard_normal(count), decay, start)


def shifted(values: FloatArray) -> FloatArray:
    """Return each element's predecessor; 0 before the first."""
    return np.concatenate([[0.0], values[:-1]])


def decay_of(half_life: float) -> float:
    """Return the factor a step that halves a value in `half_life` steps."""
    return float(0.5 ** (1.0 / half_life))
