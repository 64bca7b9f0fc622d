"""Options of ``hot-infer`` for an input that is lifted while it plays.

ROS and the viewer are imported where an option asks for them: most clips are lifted without.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hot_sdk.errors import UsageError
from hot_sdk.infer.inputs import is_video

_NOT_LIVE = (
    *("archive", "save_video", "save_plot", "save_rerun", "formats", "policies"),
    *("windows", "overlap", "flip", "constant_bones"),
)
"""Options of whole clips and of files."""


@dataclass(frozen=True)
class LiveOptions:
    """Where the poses go while the input plays.

    Attributes:
        ros: Publish to ROS 2.
        ros_bag: Folder of a bag of the same messages.
        ros_frame: Name of the frame of positions; None for that of the poses.
        viewer: Target of a ``LiveViewer``.
    """

    ros: bool = False
    ros_bag: Path | None = None
    ros_frame: str | None = None
    viewer: str | None = None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> LiveOptions:
        """Return the options that a command line gave."""
        return cls(arguments.ros, arguments.ros_bag, arguments.ros_frame, arguments.viewer)

    @property
    def are_given(self) -> bool:
        """Whether the input is to be lifted while it plays."""
        return self.ros or self.ros_bag is not None or self.viewer is not None


def add_arguments(add: Any) -> None:  # noqa: ANN401
    """Add the options to a parser."""
    ros = "publish poses to ROS 2 over DDS while the input plays; domain and range as of ROS"
    add("--ros", action="store_true", help=ros)
    bag = "record what --ros publishes as a bag; without --ros nothing is published"
    add("--ros-bag", type=Path, metavar="DIR", help=bag)
    frame = "frame of positions in ROS, such as camera_color_optical_frame"
    add("--ros-frame", metavar="NAME", help=frame)
    viewer = "show everything in Rerun while the input plays: live starts a viewer; or its URL"
    add("--viewer", metavar="live|URL", help=viewer)


def check_arguments(options: argparse.Namespace, live: LiveOptions) -> None:
    """Check the options, before any heavy work.

    Raises:
        UsageError: They contradict others, or ROS's environment is wrong.
        MissingDependencyError: cyclonedds is not installed.
    """
    if not live.are_given:
        if live.ros_frame is not None:
            raise UsageError("--ros-frame applies only to ROS.", hint="Add --ros or --ros-bag.")
        return
    given = [name for name in _NOT_LIVE if getattr(options, name, None)]
    given += ["output_dir"] if options.output_dir != Path() else []
    if options.min_frames is not None and any(map(is_video, options.inputs)):
        given.append("min_frames")  # Of a file, it is known beforehand.
    if given:
        flag = "--format" if given[0] == "formats" else f"--{given[0].replace('_', '-')}"
        raise UsageError(
            f"{flag} is about whole results, and --ros, --ros-bag and --viewer follow an input"
            " while it plays.",
            hint=f"Remove {flag}, or lift the input a second time.",
        )
    if len(options.inputs) != 1:
        raise UsageError(
            f"{len(options.inputs)} inputs were given; one plays at a time.",
            hint="Give one camera, video or keypoint file.",
        )
    if live.ros or live.ros_bag is not None:
        from hot_sdk.ros.network import messages, ros_domain

        messages()
        ros_domain()
    if live.ros_bag is not None and live.ros_bag.exists():
        raise UsageError(f"'{live.ros_bag}' exists.", hint="Name a new folder for the bag.")
    if live.viewer is not None:
        from hot_sdk.drawing.live import check_viewer

        check_viewer(live.viewer)
