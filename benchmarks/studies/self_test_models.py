"""Make the three small files that ``hot-doctor --self-test`` builds on a device.

    python benchmarks/studies/self_test_models.py

One network in float32, float16, and int8 with float16: MixSTE with the hourglass, as small as every
kind of node allows, with random weights and its kept frames among the outputs. The int8 file is
wider, as thinner matrices are not quantized, and quantizes the spatial blocks only.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.enums import Precision

_FOLDER = Path(__file__).resolve().parents[2] / "hot_sdk" / "doctor" / "data"
_WIDTHS = {Precision.FP32: 16, Precision.FP16: 16, Precision.INT8_FP16: 32}


def main() -> int:
    """Write the files; return the exit status."""
    for precision, width in _WIDTHS.items():
        name = f"self_test_{precision.value.replace('+', '_')}.onnx"
        result = export_model(
            ExportRequest(
                "mixste",
                random_weights=True,
                frames=9,
                tokens=5,
                prune_at=1,
                config={"width": width, "mlp_hidden": width, "depth": 2, "heads": 2},
                precision=precision,
                keep_float=("*TTEblocks*",) if precision is Precision.INT8_FP16 else (),
                token_index=True,
                timing=precision is Precision.FP32,
                output=_FOLDER / name,
                force=True,
            )
        )
        sys.stdout.write(f"{name}: {result.path.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
