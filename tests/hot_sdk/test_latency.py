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


def report(recorder, *, wall_s=None, **changes):
    if wall_s is not None:
        recorder.add("total", wall_s)
    settings = {"first_inference_s": 0.5, "windows": 4, "frames": 100, **changes}
    return recorder.report(Ran(), **settings)


def recorded(values, stage="inference", kind="clip"):
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


def test_mean_and_deviation_keep_their_digits_over_many_samples():
    values = 1000.0 + 1e-3 * np.random.default_rng(2).normal(size=3 * NEWEST)
    found = report(recorded(values)).inference
    assert found.mean == pytest.approx(1e3 * values.mean(), rel=1e-12)
    assert found.std == pytest.approx(1e3 * values.std(), rel=1e-6)


def test_ring_holds_the_newest_wherever_it_begins():
    values = np.random.default_rng(3).uniform(size=2 * NEWEST + 1234)
    found = report(recorded(values)).inference
    newest = 1e3 * values[-NEWEST:]
    assert found.median == pytest.approx(np.median(newest))
    assert found.p99 == pytest.approx(np.percentile(newest, 99))
    assert (found.min, found.max) == (1e3 * values.min(), 1e3 * values.max())


def test_a_stage_without_samples_is_none():
    found = report(recorded([0.1]))
    assert found.preparation is found.stitching is found.delay is None


def test_memory_is_flat():
    recorder = recorded([0.001] * NEWEST)
    tracemalloc.start()
    for _ in range(200_000):
        recorder.add("inference", 0.001)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10_000


def test_clip_and_stream_rates_are_kept_apart():
    clip = report(recorded([0.1] * 4), wall_s=0.5)
    assert (clip.total.mean, clip.windows_per_s, clip.frames_per_s) == (500.0, 8.0, 200.0)
    assert clip.per_new_frame is clip.compute_per_new_frame_ms is clip.delay is None
    recorder = recorded([0.1] * 4, kind="stream")
    recorder.add("preparation", 0.6)
    recorder.add("per_new_frame", 0.002)
    stream = report(recorder, dropped=3)
    assert stream.frames_per_s is stream.total is None
    assert stream.windows_per_s == pytest.approx(10.0)
    assert stream.compute_per_new_frame_ms == pytest.approx(10.0)
    assert stream.per_new_frame.mean == pytest.approx(2.0)
    assert stream.dropped == 3


def test_names_engine_and_device():
    found = report(recorded([0.1]))
    assert (found.engine, found.device, found.precision) == ("onnxruntime 1.0", "cpu", "fp32")
    assert (found.load_ms, found.first_inference_ms) == (250.0, 500.0)


def test_round_trip_through_json():
    found = report(recorded([0.1, 0.2]), wall_s=0.3)
    assert LatencyReport.from_dict(json.loads(found.to_json())) == found


def test_rejects_broken_record():
    record = report(recorded([0.1])).to_dict()
    with pytest.raises(ResultError, match=r"latency\.windows is 'many'"):
        LatencyReport.from_dict(record | {"windows": "many"})


def test_text_holds_every_figure():
    recorder = recorded([0.0123, 0.0456])
    recorder.add("stitching", 0.0007)
    found = report(recorder, wall_s=0.1)
    text = str(found)
    rows = {line[:11].strip(): line[11:].split() for line in text.splitlines()}
    assert rows["ms"] == ["count", "min", "mean", "median", "p90", "p95", "p99", "max", "std"]
    assert rows["engine"] == [
        *("2", "12.300", "28.950", "28.950", "42.270", "43.935", "45.267", "45.600", "16.650")
    ]
    assert rows["stitching"] == ["1", *["0.700"] * 7, "0.000"]
    for figure in ("onnxruntime 1.0, cpu, fp32", "load 250 ms", "first inference 500 ms"):
        assert figure in text
    assert rows["total"] == ["1", *["100.0"] * 7, "0.000"]
    for figure in ("4 windows, 100 frames", "40 windows/s", "1000 frames/s"):
        assert figure in text
    assert "dropped" not in text
    assert "newest" not in text


def test_text_of_a_long_stream_names_the_samples_of_percentiles():
    recorder = recorded([0.001] * (NEWEST + 1), stage="per_new_frame", kind="stream")
    text = str(report(recorder, dropped=7))
    assert f"newest {NEWEST} samples" in text
    assert "7 dropped" in text
    assert "frames/s" not in text


def test_text_fits_eighty_columns():
    class Long(Ran):
        engine = "tensorrt of a long name and a longer description"
        device = "NVIDIA Jetson AGX Orin Developer Kit, 64 GB"

    recorder = LatencyRecorder("stream")
    values = {
        "preparation": 4e-7,
        "inference": 9.99996,
        "stitching": 0.0999996,
        "per_new_frame": 123.4,
    }
    for stage, value in {**values, "delay": 999.0}.items():
        for _ in range(NEWEST + 1):
            recorder.add(stage, value)
    settings = {"first_inference_s": 1 / 3, "windows": 10**7, "frames": 10**9, "dropped": 10**6}
    lines = str(recorder.report(Long(), **settings)).splitlines()
    assert max(map(len, lines)) <= 80
    names = ("ms", "preparation", "engine", "stitching", "per push", "delay")
    table = [line for line in lines if line.startswith(names)]
    assert len(table) == 6
    assert len({len(line) for line in table}) == 1


def test_threads_lose_no_sample():
    recorder = LatencyRecorder("stream")
    work = [
        threading.Thread(target=lambda: [recorder.add("per_new_frame", 0.001) for _ in range(2000)])
        for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert report(recorder).per_new_frame.count == 8000


def test_reading_while_writing_sees_whole_samples():
    recorder = LatencyRecorder("stream")
    stop = threading.Event()

    def write():
        while not stop.is_set():
            recorder.add("per_new_frame", 0.002)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = [report(recorder).per_new_frame for _ in range(200)]
    finally:
        stop.set()
        writer.join()
    counts = [row.count for row in found if row is not None]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
    for row in found:
        if row is not None:
            assert (row.min, row.median, row.p99, row.max) == (2.0, 2.0, 2.0, 2.0)
            assert row.mean == pytest.approx(2.0)
            assert row.std == pytest.approx(0.0, abs=1e-9)


def test_samples_of_a_call_count_for_all_calls():
    everything = LatencyRecorder("clip")
    for seconds in (0.1, 0.3):
        LatencyRecorder("clip", within=everything).add("total", seconds)
    assert report(everything).total.count == 2
    assert report(everything).total.mean == pytest.approx(200.0)
