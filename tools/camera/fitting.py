"""Fits the pixel model and its path to real N-MNIST recordings.

    python -m tools.camera.fitting --real <N-MNIST folder> --mnist-dir <idx folder>

prints the parameters and knots that stand as defaults in `pixelmodel.py` and `path.py`.
Three things are measured in turn: the path (registration), the noise (corners the digit never reaches), then,
alternating, the speed along the path (events per millisecond) and the pixel (counts, densities, intervals).
"""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.text import printable
from sast_deploy.data.camera.matching import Pair, matched_recordings
from sast_deploy.data.camera.path import KNOT_US
from sast_deploy.data.camera.pixelmodel import PixelModel
from sast_deploy.data.camera.sessions import session_model
from sast_deploy.data.camera.statistics import EventStatistics, matched_cosine, statistics
from sast_deploy.data.events import Events
from tools.camera.register import as_knots, measure_path

_FITTED = (
    "threshold_on", "threshold_off", "refractory_us", "ink_luminance", "blur_px", "magnification", "mismatch",
)  # fmt: skip
_SPAN_S = 0.308  # mean length of a recording
_CORNER = 3  # pixels; the digit never comes there
_SACCADES_MS = ((10, 80), (112, 200), (228, 300))
_MIDDLES_MS = (50, 155, 265)
_LAST_MOVE = 60  # knot after which the image stands
_LAST_KNOT = 62  # 310 ms


@dataclass(frozen=True, eq=False)
class Matched:
    """Real recordings and the images they show."""

    pairs: list[Pair]
    recordings: list[Events]

    def mean_onsets(self, model: PixelModel) -> NDArray[np.float64]:
        """Mean shift of the three saccades over the recordings; milliseconds."""
        onsets = [session_model(model, pair.number, pair.split).onset_us for pair in self.pairs]
        mean: NDArray[np.float64] = np.mean(onsets, axis=0) / 1000
        return mean

    def simulate(self, model: PixelModel) -> EventStatistics:
        """Statistics of the same images through `model`."""
        return statistics(pair.simulated(model, seed=0) for pair in self.pairs)


def fit(data: Matched, rounds: int = 3) -> PixelModel:
    """The pixel model whose recordings of the images resemble `data.recordings` most."""
    model, real = PixelModel(), statistics(data.recordings)
    on, off = measure_noise(real)
    measured = measure_path(data.recordings, [np.asarray(pair.other) for pair in data.pairs])
    model = dataclasses.replace(model, noise_on_hz=on, noise_off_hz=off, path=measured[: _LAST_KNOT + 1])
    for _ in range(rounds):
        model = fit_speed(model, data, real)
        model = _fit_pixel(model, data, real)
    return fit_speed(model, data, real)


def measure_noise(real: EventStatistics) -> tuple[float, float]:
    """(ON, OFF) background events per pixel and second, from the sensor's four corners."""
    sides = np.r_[0:_CORNER, -_CORNER:0]
    corners = real.frames[..., sides[:, None], sides[None, :]].sum(axis=1).mean(axis=(0, 2, 3))
    off, on = corners / _SPAN_S
    return round(float(on), 3), round(float(off), 3)


def measure_onsets(real: EventStatistics, simulated: EventStatistics) -> tuple[float, ...]:
    """Shifts of the three saccades that lay the simulated events per millisecond over the real ones; ms."""
    ms = np.arange(len(real.rate))
    shifts = []
    for start, end in _SACCADES_MS:
        target = real.rate.sum(axis=1)[start:end]
        total = simulated.rate.sum(axis=1)
        moved = {s: np.interp(ms - s, ms, total)[start:end] for s in np.arange(-8, 8.05, 0.1)}
        shifts.append(round(float(min(moved, key=lambda s: float(((moved[s] - target) ** 2).sum()))), 1))
    return tuple(shifts)


def fit_speed(model: PixelModel, data: Matched, real: EventStatistics, rounds: int = 3) -> PixelModel:
    """Scale each 5 ms of the path by the events it lacks, and keep the path where it was on average."""
    step = KNOT_US // 1000
    for _ in range(rounds):
        simulated = data.simulate(model)
        noise = (model.noise_on_hz + model.noise_off_hz) * 34 * 34 / 1000 * step
        curves = []
        for one in (real, simulated):
            rate = one.rate.sum(axis=1)[: _LAST_KNOT * step].reshape(-1, step).sum(axis=1)
            rate *= real.counts.mean() / one.counts.mean()
            curves.append(np.maximum(np.convolve(rate, [0.25, 0.5, 0.25], "same") - noise, 0.1 * noise))
        ratio = np.clip(curves[0] / curves[1], 0.5, 2.0) ** 0.7
        # The curves are in the recording's time, the knots in the path's: the sessions' onsets lie between.
        middle = (np.arange(_LAST_KNOT) + 0.5) * step
        ratio = np.interp(middle + np.interp(middle, _MIDDLES_MS, data.mean_onsets(model)), middle, ratio)
        ratio[_LAST_MOVE:] = 1.0
        knots = np.array(model.path)
        moved = np.concatenate([[[0.0, 0.0]], np.cumsum(np.diff(knots, axis=0) * ratio[:, None], axis=0)])
        moved += (knots - moved).mean(axis=0)
        model = dataclasses.replace(model, path=as_knots(moved))
    return model


def _fit_pixel(model: PixelModel, data: Matched, real: EventStatistics) -> PixelModel:
    """Least squares on the logarithms of the parameters."""
    from scipy.optimize import least_squares

    def residuals(logs: NDArray[np.float64]) -> NDArray[np.float64]:
        return _distance(real, data.simulate(_with(model, logs)))

    start = np.log([float(getattr(model, name)) for name in _FITTED])
    low, high = start - 0.7, start + 0.7
    high[_FITTED.index("magnification")] = np.log(1.1)
    best = least_squares(residuals, start, diff_step=0.04, max_nfev=6, bounds=(low, high), x_scale=0.1)
    return _with(model, best.x)


def _with(model: PixelModel, logs: NDArray[np.float64]) -> PixelModel:
    values = dict(zip(_FITTED, (round(float(v), 4) for v in np.exp(logs)), strict=True))
    refractory = round(values.pop("refractory_us"))
    return dataclasses.replace(model, refractory_us=refractory, **values)  # type: ignore[arg-type]


def _distance(real: EventStatistics, simulated: EventStatistics) -> NDArray[np.float64]:
    """Logarithms of simulated / real, weighted by how much they matter."""
    mean = np.log(simulated.counts.mean() / real.counts.mean())
    width = np.log(simulated.counts.std() / real.counts.std())
    return np.array([
        4.0 * mean, width,
        4.0 * np.log(simulated.on_off / real.on_off),
        4.0 * np.log(simulated.density / real.density),
        *(0.5 * np.log(simulated.occupancy / real.occupancy)),
        np.log(simulated.largest / real.largest),
        *(0.2 * np.log(simulated.intervals_us / real.intervals_us)),
        4.0 * (1.0 - matched_cosine(real, simulated)),
    ])  # fmt: skip


def main() -> None:
    """Fit on the training recordings of a folder and print the result."""
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--real", type=Path, required=True, help="folder with Train/<label>/<id>.bin")
    parser.add_argument("--mnist-dir", type=Path, required=True, help="folder with MNIST's idx files")
    parser.add_argument("--every", type=int, default=4, help="take each n-th recording")
    options = parser.parse_args()
    found = matched_recordings(options.real, options.mnist_dir, "Train")[:: options.every]
    data = Matched(found, [pair.events() for pair in found])
    for name, value in dataclasses.asdict(fit(data)).items():
        print(printable(f"{name} = {value}"))


if __name__ == "__main__":
    main()
