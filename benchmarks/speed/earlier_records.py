"""Bring records of ``hot-benchmark`` that earlier versions wrote into the present form."""

from __future__ import annotations

from typing import Any

_FPS = 30.0
"""Frame rate of a stream that its record does not name: then a lookahead in milliseconds does."""


def with_current_fields(data: dict[str, Any]) -> dict[str, Any]:
    """Return a parsed record with what its version did not have yet; a present one as it is.

    Only what is missing is added, so that a broken record stays broken and is refused as such.
    """
    if data.get("schema") != 1:
        return data
    settings, results = data.get("settings"), data.get("results")
    if not isinstance(settings, dict) or not isinstance(results, list):
        return data
    return {
        **data,
        "schema": 2,
        "busy_meanwhile": None,
        "settings": {**settings, "against": None},
        "results": [_result(one) if isinstance(one, dict) else one for one in results],
    }


def _result(result: dict[str, Any]) -> dict[str, Any]:
    changed = {**result, "stages": [], "stream_accuracy": None}
    stream, ceiling, subject = (result.get(name) for name in ("stream", "ceiling", "subject"))
    if isinstance(stream, dict):
        changed["stream"] = {**stream, "people": 1, "fps": _fps(stream), "live": False}
    if isinstance(ceiling, dict):
        precision = subject.get("precision") if isinstance(subject, dict) else None
        rate, best = ceiling.get("product_flops_per_s"), ceiling.get("best_flops_per_s")
        form = "fp16" if precision == "fp16" else "fp32"
        known = rate is not None and best is not None
        rates = {"form": form, "flops_per_s": rate, "best_flops_per_s": best}
        changed["ceiling"] = {
            **ceiling,
            "product_form": form if known else None,
            "forms": [rates] if known else [],
            "shapes": [],
            "shapes_ms": None,
            # It was measured in other rounds than the model, and of int8 models in float32.
            "share_of_product": None,
            "share_of_shapes": None,
            "explanations": [],
        }
    return changed


def _fps(stream: dict[str, Any]) -> float:
    frames, ms = stream.get("lookahead"), stream.get("lookahead_ms")
    if isinstance(frames, int) and isinstance(ms, (int, float)) and frames > 0 and ms > 0:
        return 1e3 * frames / ms
    return _FPS
