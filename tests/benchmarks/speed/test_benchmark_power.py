"""Power and energy from a board's monitors, through a whole run."""

import pytest
from exported_models import export_case
from faked_machines import faked

from hot_sdk.benchmarks.speed.extras import Wanted
from hot_sdk.benchmarks.speed.measure import Effort
from hot_sdk.benchmarks.speed.messages import Streaming
from hot_sdk.benchmarks.speed.options import Asked
from hot_sdk.benchmarks.speed.plan import plan_configurations
from hot_sdk.benchmarks.speed.report.text import as_text
from hot_sdk.benchmarks.speed.run import run_benchmark

INA3221 = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
WATTS = 6.0


def test_a_board_that_draws_six_watts_spends_them_on_the_frames(tmp_path_factory, tmp_path):
    path = export_case("mixste", "hot", tmp_path_factory).path
    machine = faked(
        {
            f"{INA3221}/in1_label": "VDD_IN\n",
            f"{INA3221}/in1_input": "5000\n",
            f"{INA3221}/curr1_input": "1200\n",
            "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
        }
    )
    asked = Asked(
        models=(str(path),),
        ratios=(),
        engines=("onnxruntime",),
        devices=("cpu",),
        precisions=(),
        batch=None,
        threads=1,
        baselines=(),
        checkpoint=None,
        random_weights=False,
        frames=None,
        folder=tmp_path,
        streaming=Streaming(hop=2, lookahead=1),
        cache_dir=None,
    )
    wanted = Wanted(
        effort=Effort(None, 20),
        streaming=asked.streaming,
        cache_dir=None,
        profile_runs=0,
        power="auto",
        boards=(),
        data=None,
        root=None,
        views=None,
    )
    told = []
    record = run_benchmark(
        plan_configurations(asked),
        wanted,
        machine,
        ["hot-benchmark"],
        lambda *now: told.append(now),
    )
    assert (record.power.source, record.power.rail) == ("ina3221", "VDD_IN")
    assert set(record.power.watts) == {WATTS}
    (result,) = record.results
    energy = result.energy
    assert energy.mean_w == pytest.approx(WATTS)
    assert energy.idle_w == pytest.approx(WATTS)
    # The time between runs is paid for, too, so it is at least what the runs took.
    window = result.measure("window").statistics
    assert energy.j_per_frame >= 0.99 * WATTS * window.min / 1e3 / 27
    assert energy.j_per_new_frame > 0.0
    assert record.machine.board == "NVIDIA Jetson Orin Nano Developer Kit"
    assert "power: ina3221, VDD_IN" in as_text(record, ())
    shares = [share for task, share in told if task.startswith("measuring, round")]
    assert shares == sorted(shares)
