"""Name the policies for keypoints that are not as a lifter was trained to see them."""

from __future__ import annotations

from dataclasses import dataclass, field

from hot_sdk._base.records import WAS
from hot_sdk._base.validation import check_settings

ASPECTS = ("pad_to_square", "published")

MAX_GAP_FRAMES = 25
"""Frames after which a person who is seen again starts from scratch."""

TIME_TO_LIVE_S = 2.0
"""Seconds after which a person who is not seen is forgotten."""


@dataclass(frozen=True)
class InputPolicies:
    """How incomplete or unusual keypoints are treated; each result records what was done.

    Attributes:
        min_score: A joint with a lower score counts as missing.
        interpolate_frames: A joint that is missing for at most this many frames is interpolated
            between its neighbors in time, and stays valid.
        hold_frames: In a longer gap, a joint stays where it was last seen, and valid, for this many
            frames; from then on it is still passed to the network but marked invalid.
        outlier_threshold: A joint that is farther than this from the median of itself and its two
            neighbors in time on either side, as a multiple of the body's spread, counts as missing;
            None accepts every jump. The spread is the root mean square distance of the joints
            from their mean: about half a meter if a person stands.
        rate_tolerance: Keypoints at another frame rate than the model was trained at are resampled
            in time, and the poses back, if the rates differ by more than this fraction; None never
            resamples.
        aspect: ``pad_to_square`` gives an image that is taller than wide equal margins left and
            right, as if the camera's sensor were square; ``published`` always divides by the width,
            as the published code does.

    Raises:
        UsageError: A value is out of range.
    """

    min_score: float = 0.3
    interpolate_frames: int = 10
    hold_frames: int = 15
    outlier_threshold: float | None = 1.0
    rate_tolerance: float | None = 0.1
    aspect: str = "pad_to_square"

    def __post_init__(self) -> None:
        threshold, tolerance = self.outlier_threshold, self.rate_tolerance
        expected = {
            "min_score": (0.0 <= self.min_score <= 1.0, "0 to 1"),
            "interpolate_frames": (self.interpolate_frames >= 0, ">= 0"),
            "hold_frames": (self.hold_frames >= 0, "0 or more"),
            "outlier_threshold": (
                threshold is None or threshold > 0.0,
                "a multiple above 0, or None",
            ),
            "rate_tolerance": (
                tolerance is None or tolerance >= 0.0,
                "a fraction of 0 or more, or None",
            ),
            "aspect": (self.aspect in ASPECTS, f"one of {', '.join(ASPECTS)}"),
        }
        check_settings(self, expected)


PUBLISHED = InputPolicies(
    min_score=0.0, outlier_threshold=None, rate_tolerance=None, aspect="published"
)
"""What the authors' demos do (NationalGAILab/HoT, demo/vis.py): every keypoint counts, whatever its
score, and every frame goes to the network as it is. They have no rule for a joint that is absent;
it is filled as by default."""


@dataclass(frozen=True)
class AppliedPolicy:
    """One policy as it was applied to one clip.

    Attributes:
        name: Stable name, such as ``missing_joints`` or ``resampled``.
        detail: What was done, in words, with the settings that applied.
        count: The number of items changed; 0 if there was nothing to do.
        total: The number of items examined.
        unit: What the items are: ``joints`` (one joint in one frame), ``frames`` or ``clips``.
    """

    name: str
    detail: str
    count: int
    total: int = field(metadata={WAS: "of"})
    unit: str = field(metadata={WAS: "item"})
