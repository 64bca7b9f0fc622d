"""From a PyTorch checkpoint to a verified static-shape ONNX file.

Importing this package imports neither torch nor onnx.
"""

from hot_sdk.export.exporting import export_model
from hot_sdk.export.options import RecoveryKind, SelectorKind, Variant
from hot_sdk.export.request import ExportRequest

__all__ = ["ExportRequest", "RecoveryKind", "SelectorKind", "Variant", "export_model"]
