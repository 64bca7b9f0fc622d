"""ROS 2 without ROS: publish poses over DDS, receive 2D keypoints, record bags; see docs/ros.md.

The extra ``ros`` installs what it needs: cyclonedds, and rosbags for bags.
"""

from hot_sdk.ros.bags import BagWriter
from hot_sdk.ros.publisher import PosePublisher, by_frame
from hot_sdk.ros.subscriber import PeopleFrame, SkeletonSubscriber

__all__ = ["BagWriter", "PeopleFrame", "PosePublisher", "SkeletonSubscriber", "by_frame"]
