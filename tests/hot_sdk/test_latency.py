import json
import statistics
import threading
import tracemalloc

import numpy as np
import pytest

from hot_sdk.errors import ResultError
from hot_sdk.latency import NEWEST, LatencyRecorder, LatencyReport


class Ran:
    engine, engine_version, device, precision = "onnxruntime", "1.0", "cpu", "fp32"
    load_seconds = 0.25


def report(recorder, **changes):
    settings = {"first_inference_s": 0.5, "windows": 4, "frames": 100, **changes}
    return recorder.report(Ran(), **settings)


def recorded(values, stage="engine", kind="clip"):
    recorder = LatencyRecorder(kind)
    for value in values:
        recorder.add(stage, value)
    return recorder


def test_statistics_are_those_of_all_samples():
    values = np.random.default_rng(1).exponential(0.01, size=777)
    found = report(recorded(values)).inference
    milliseconds = [1e3 * value for value in values]
    assert found.count == 777
    assert found.min == pytest.approx(min(milliseconds))
    assert found.max == pytest.approx(max(milliseconds))
    assert found.mean == pytest.approx(statistics.fmean(milliseconds))
    assert found.std == pytest.approx(statistics.pstdev(milliseconds))
    assert found.median == pytest.approx(statistics.median(milliseconds))
    for percent in (90, 95, 99):
        expected = np.percentile(milliseconds, percent)
        assert getattr(found, f"p{percent}") == pytest.approx(expected)


def test_percentiles_are_of_the_newest_and_the_rest_of_all():
    found = report(recorded([1.0] * 10 + [2.0] * NEWEST)).inference
    assert (found.count, found.min, found.median) == (NEWEST + 10, 1e3, 2e3)


def test_memory_is_flat():
    recorder = recorded([0.001] * NEWEST)
    tracemalloc.start()
    for _ in range(50_000):
        recorder.add("engine", 0.001)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 10_000


def test_clip_and_stream_rates_are_kept_apart():
    clip = report(recorded([0.1] * 4), wall_s=0.5)
    assert (clip.total_ms, clip.windows_per_s, clip.frames_per_s) == (500.0, 8.0, 200.0)
    assert clip.per_new_frame is clip.compute_per_new_frame_ms is clip.delay is None
    recorder = recorded([0.1] * 4, kind="stream")
    recorder.add("preparation", 0.6)
    recorder.add("push", 0.002)
    stream = report(recorder, dropped=3)
    assert stream.frames_per_s is stream.total_ms is None
    assert stream.windows_per_s == pytest.approx(10.0)
    assert stream.compute_per_new_frame_ms == pytest.approx(10.0)
    assert stream.per_new_frame.mean == pytest.approx(2.0)
    assert stream.dropped == 3


def test_says_what_ran():
    found = report(recorded([0.1]))
    assert (found.engine, found.device, found.precision) == ("onnxruntime 1.0", "cpu", "fp32")
    assert (found.load_ms, found.first_inference_ms) == (250.0, 500.0)


def test_comes_back_from_json():
    found = report(recorded([0.1, 0.2]), wall_s=0.3)
    assert LatencyReport.from_dict(json.loads(found.to_json())) == found


def test_broken_record_is_refused():
    record = report(recorded([0.1])).to_dict()
    with pytest.raises(ResultError, match=r"latency\.windows is 'many'"):
        LatencyReport.from_dict(record | {"windows": "many"})


def test_text_holds_every_figure_and_fits_a_terminal():
    recorder = recorded([0.0123, 0.0456])
    recorder.add("stitching", 0.0007)
    text = str(report(recorder, wall_s=0.1))
    for figure in ("12.3", "45.6", "28.95", "0.7", "250 ms", "40 windows/s", "1000 frames/s"):
        assert figure in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_threads_lose_no_sample():
    recorder = LatencyRecorder("stream")
    work = [
        threading.Thread(target=lambda: [recorder.add("push", 0.001) for _ in range(2000)])
        for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert report(recorder).per_new_frame.count == 8000
