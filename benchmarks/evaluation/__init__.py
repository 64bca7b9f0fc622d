"""Accuracy: the field's measures, its data sets and their protocols, and ``hot-eval``."""

from hot_sdk.benchmarks.evaluation.body_errors import AngleError, LengthError
from hot_sdk.benchmarks.evaluation.clip_errors import measure_clip
from hot_sdk.benchmarks.evaluation.corruption import Corruption
from hot_sdk.benchmarks.evaluation.coverage import Coverage
from hot_sdk.benchmarks.evaluation.data_sets import load_data
from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip
from hot_sdk.benchmarks.evaluation.data_sets.starter_val import load_starter_val
from hot_sdk.benchmarks.evaluation.metrics import PoseMetrics, evaluate_poses, summarize

__all__ = [
    "AngleError",
    "Corruption",
    "Coverage",
    "EvaluationClip",
    "LengthError",
    "PoseMetrics",
    "evaluate_poses",
    "load_data",
    "load_starter_val",
    "measure_clip",
    "summarize",
]
