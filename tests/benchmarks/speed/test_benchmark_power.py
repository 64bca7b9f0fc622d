"""Power and energy from a board's monitors, through a whole run."""

import pytest
from exported_models import export_case
from faked_machines import faked

from hot_sdk._base.progress import Progress
from hot_sdk.benchmarks.speed.options import BenchmarkOptions
from hot_sdk.benchmarks.speed.plan import plan_configurations
from hot_sdk.benchmarks.speed.report.text import as_text
from hot_sdk.benchmarks.speed.run import run_benchmark

INA3221 = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
WATTS = 6.0


class RecordedProgress(Progress):
    """Keeps each update."""

    def __init__(self):
        super().__init__("starting", quiet=True)
        self.updates = []

    def update(self, completed, total=None, *, task=None):
        self.updates.append((task, completed))


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
    options = BenchmarkOptions(
        models=(str(path),),
        folder=tmp_path,
        engines=("onnxruntime",),
        threads=1,
        hops=(2,),
        lookaheads=(1,),
        runs=20,
    )
    progress = RecordedProgress()
    configurations = plan_configurations(options, progress)
    record = run_benchmark(configurations, options, machine, ["hot-benchmark"], progress)
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
    shares = [share for task, share in progress.updates if task.startswith("measuring a first")]
    shares += [share for task, share in progress.updates if task.startswith("measuring, round")]
    assert shares[0] == 0.0
    assert shares == sorted(shares)
