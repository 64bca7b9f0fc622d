"""Read keypoint files that are text: tables, and the JSON of other tools."""

from __future__ import annotations

from pathlib import Path

from hot_sdk.readers import (
    alphapose,
    coco,
    coco_annotations,
    foreign,
    mediapipe,
    mmpose,
    named,
    openpifpaf,
    openpose,
    ultralytics,
)
from hot_sdk.readers.detections import KeypointFrames
from hot_sdk.readers.frame_lists import require_few_entries
from hot_sdk.readers.json_values import parse
from hot_sdk.readers.tables import csv_table, marker_tables

# Name of the format, whether parsed JSON is of it, and how it is read; the first match counts.
_JSON_READERS = (
    ("openpose", openpose.matches, openpose.read),
    ("openpose", openpose.matches_kinetics, openpose.read_kinetics),
    ("ultralytics", ultralytics.matches, ultralytics.read),
    ("openpifpaf", openpifpaf.matches, openpifpaf.read),
    ("vitpose", openpifpaf.matches_vitpose, openpifpaf.read_vitpose),
    ("mmpose", mmpose.matches, mmpose.read),
    ("alphapose", alphapose.matches, alphapose.read),
    ("alphapose", alphapose.matches_by_image, alphapose.read_by_image),
    ("alphapose", alphapose.matches_by_person, alphapose.read_by_person),
    ("coco", coco_annotations.matches, coco_annotations.read),
    ("coco", coco.matches_results, coco.read_results),
    ("vitpose", named.matches_vitpose, named.read),
    ("named", named.matches, named.read),
    ("mediapipe", mediapipe.matches, mediapipe.read),
)


def read_text(path: Path, content: bytes) -> tuple[str, KeypointFrames]:
    """Return the name of a file's format, and what it holds.

    Raises:
        KeypointsError: The file is not recognized, broken or too large.
    """
    if marker_tables.matches_trc(content):
        return "trc", marker_tables.read_trc(content)
    if marker_tables.matches_deeplabcut(content):
        return "deeplabcut", marker_tables.read_deeplabcut(content)
    if csv_table.matches(content):
        return "csv", csv_table.read(content)
    data = None
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        data = parse(content, path)
        require_few_entries(data)
        for name, matches, read in _JSON_READERS:
            if matches(data):
                return name, read(data)
    raise foreign.error_for(path, content, data)
