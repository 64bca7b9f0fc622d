"""What a model reaches of what the machine can do at most, from the rounds that measured both."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.speed.measure import BESIDE, Measurement
from hot_sdk.benchmarks.speed.result import Ceiling, FormRate
from hot_sdk.benchmarks.speed.series import LEAST_ROUNDS, Interval, Series, paired_ratio
from hot_sdk.benchmarks.speed.worker.ceilings import COPY, PRODUCT, SHAPES

_STEADY = 0.1
"""Rounds of one ceiling that differ by more than this share were disturbed."""


def ceiling_of(one: Measurement, flops: int) -> Ceiling | None:
    """Return the ceilings of a configuration; None if none was measured.

    Args:
        one: The configuration.
        flops: Operations of what was run beside the ceilings.
    """
    if not one.work and not one.problems:
        return None
    forms = tuple(_forms(one))
    fastest = max(forms, key=lambda form: form.flops_per_s, default=None)
    beside, shapes, copy = (one.series.get(name) for name in (BESIDE, SHAPES, COPY))
    own = _rounds(beside)
    name = "" if fastest is None else f"{PRODUCT} {fastest.form}"
    product = one.series.get(name)
    # Seconds that the model's operations would take at the rate of the ceiling.
    of_product = of_shapes = None
    if product is not None:
        of_product = _share(_rounds(product) * flops / one.work[name], own)
    if shapes is not None:
        of_shapes = _share(_rounds(shapes) * flops / one.work[SHAPES], own)
    ceiling = Ceiling(
        product_shape=None if one.graph is None else one.graph.largest_product,
        product_form=None if fastest is None else fastest.form,
        product_flops_per_s=None if fastest is None else fastest.flops_per_s,
        best_flops_per_s=None if fastest is None else fastest.best_flops_per_s,
        forms=forms,
        shapes=one.shapes,
        shapes_ms=None if shapes is None else 1e3 * float(np.median(shapes.all)),
        copy_bytes_per_s=None if copy is None else one.work[COPY] / float(np.median(copy.all)),
        achieved_flops_per_s=flops / float(np.median(own)) if len(own) else None,
        share_of_product=of_product,
        share_of_shapes=of_shapes,
        explanations=(),
        problems=tuple(f"{name}: {text}" for name, text in one.problems.items()),
    )
    disturbed = any(_spread(series) > _STEADY for series in (beside, product, shapes) if series)
    return _explained(ceiling, disturbed=disturbed)


def _forms(one: Measurement) -> Iterator[FormRate]:
    for name, work in one.work.items():
        kind, _, form = name.partition(" ")
        series = one.series.get(name)
        if kind == PRODUCT and series is not None:
            yield FormRate(
                form, work / float(np.median(series.all)), work / float(series.all.min())
            )


def _rounds(series: Series | None) -> NDArray[np.float64]:
    """Return the median of each round, the first ones included: each has its own pair."""
    turns = [] if series is None else series.turns
    return np.array([float(np.median(turn)) for turn in turns if len(turn)])


def _spread(series: Series) -> float:
    rounds = _rounds(series)
    return float(np.subtract(*np.percentile(rounds, [75, 25])) / np.median(rounds))


def _share(above: NDArray[np.float64], below: NDArray[np.float64]) -> Interval | None:
    both = min(len(above), len(below))
    return paired_ratio(above[:both], below[:both])


def _explained(ceiling: Ceiling, *, disturbed: bool) -> Ceiling:
    """Return the ceilings with a reason for each share that is above 1, which none should be."""
    said = []
    product, shapes = ceiling.share_of_product, ceiling.share_of_shapes
    if product is not None and product.value > 1.0:
        about = "of the largest multiplication"
        faster = _faster_shape(ceiling)
        if shapes is not None and shapes.value <= 1.0 and faster:
            said.append(f"{product.value:.0%} {about}: {faster}")
        else:
            said.append(f"{product.value:.0%} {about}: {_doubt(product, disturbed=disturbed)}")
    if shapes is not None and shapes.value > 1.0:
        about = "of the multiplications one by one"
        said.append(f"{shapes.value:.0%} {about}: {_doubt(shapes, disturbed=disturbed)}")
    return dataclasses.replace(ceiling, explanations=tuple(said))


def _faster_shape(ceiling: Ceiling) -> str:
    """Return which multiplication is faster than the largest one; empty if none is."""
    rates = [(one.product.flops / one.ms * 1e3, one) for one in ceiling.shapes if one.ms > 0.0]
    if not rates or ceiling.product_flops_per_s is None:
        return ""
    rate, best = max(rates, key=lambda each: each[0])
    if rate <= ceiling.product_flops_per_s:
        return ""
    return (
        f"smaller ones run faster than it ({best.product} at {rate / 1e9:.0f} GFLOP/s in"
        f" {best.form}, the largest at {ceiling.product_flops_per_s / 1e9:.0f}); the ceiling of"
        " all shapes holds"
    )


def _doubt(share: Interval, *, disturbed: bool) -> str:
    if share.rounds < LEAST_ROUNDS:
        return "too few rounds to tell"
    if share.low <= 1.0:
        return f"within noise of 100% ({share.low:.0%} to {share.high:.0%})"
    if disturbed:
        return "the machine was disturbed between them: rounds of one thing differ by over 10%"
    return (
        "the engine does less in the whole graph than one by one, such as two multiplications"
        " joined to one, or results that stay in the caches"
    )
