"""Records of earlier versions stay readable."""

from pathlib import Path

import pytest

from hot_sdk.benchmarks.speed.comparison import compare
from hot_sdk.benchmarks.speed.record import read_record
from hot_sdk.benchmarks.speed.report.text import as_csv, as_markdown

EARLIER = Path(__file__).parent / "data" / "record_1.json"
"""Written when ``--runs`` was ``--windows``, ``--lookahead 3 --hop 2`` was ``--stream``."""


def test_a_record_of_schema_1_is_read_and_compared():
    record = read_record(EARLIER)
    assert record.settings.windows == 3
    (result,) = record.results
    assert (result.stream.hop, result.stream.lookahead) == (2, 3)
    assert result.cost.products_flops > result.cost.executed_flops > 0
    assert result.ceiling.product_flops_per_s > result.ceiling.achieved_flops_per_s
    assert [share.name for share in result.profile.blocks][:2] == ["embedding", "spatial"]
    found = compare(record, record)
    assert len(found.changes) > 10
    # It was made in three runs on a busy machine.
    assert "metrics did not change beyond noise" in found.as_text()
    assert found.is_undecided
    assert result.ceiling.product_form == "fp32"
    assert result.ceiling.share_of_product is None
    assert result.stream.fps == pytest.approx(1e3 * 3 / result.stream.lookahead_ms)
    assert "mixste-hot" in as_markdown(record, ())
    assert as_csv(record).count("\n") == 2
