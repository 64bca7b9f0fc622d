"""Keypoints of a real person to measure with, of any length and frame rate."""

from __future__ import annotations

import dataclasses

import numpy as np

from hot_sdk.benchmarks.evaluation.data_sets.starter_val import load_starter_val
from hot_sdk.keypoints import Keypoints


def motion(fps: float) -> Keypoints:
    """The longest sequence of ``starter-val``, in the joints of the models.

    It is said to be of the given rate, so that nothing is resampled and one frame of it is one
    frame of a network.
    """
    clips = load_starter_val(views=1)
    longest = max(clips, key=len).keypoints
    return dataclasses.replace(longest, fps=fps, timestamps=None)


def frame_numbers(length: int, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """Numbers of ``count`` frames of a clip that is run to and fro, so that nothing ever jumps."""
    period = max(1, 2 * (length - 1))
    places = np.arange(count) % period
    return np.where(places < length, places, period - places)


def cut(keypoints: Keypoints, count: int) -> Keypoints:
    """The first frames of a clip, run to and fro where it is shorter."""
    frames = frame_numbers(len(keypoints), count)
    return dataclasses.replace(keypoints, points=keypoints.points[frames], timestamps=None)
