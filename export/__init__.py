"""Turn a PyTorch checkpoint into a verified static-shape ONNX file.

Importing this package imports neither torch nor onnx.
"""

from hot_sdk.export.api import export_model
from hot_sdk.export.enums import RecoveryKind, SelectorKind, Variant
from hot_sdk.export.options import ExportRequest

__all__ = ["ExportRequest", "RecoveryKind", "SelectorKind", "Variant", "export_model"]
