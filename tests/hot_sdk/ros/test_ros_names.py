import re

import pytest

from hot_sdk.errors import UsageError
from hot_sdk.ros.names import body_id, body_topic, dds_topic, ros_type


@pytest.mark.parametrize(
    ("track_id", "body"),
    [
        (1, "p1"),
        (0, "p0"),
        (-3, "p3"),
        (None, "p0"),
        ("anna", "anna"),
        ("67dd1", "p67dd1"),
        ("a b/c", "a_b_c"),
        ("__x__y__", "x_y"),
        ("é", "p"),
        ("x" * 200, "x" * 60),
    ],
)
def test_id_is_part_of_a_topic_and_of_a_frame(track_id, body):
    assert body_id(track_id) == body
    assert dds_topic(body_topic(body, "poses")) == f"rt/humans/bodies/{body}/poses"
    assert re.fullmatch(r"[A-Za-z0-9_]+", f"body_{body}")


@pytest.mark.parametrize(
    "topic", ["poses", "/", "/1/poses", "/a//b", "/a/", "/a b", "/a__b", "", "/é", "/~a", "rt/a"]
)
def test_what_ros_does_not_take_for_a_topic_is_refused(topic):
    with pytest.raises(UsageError, match="no name of a ROS topic"):
        dds_topic(topic)


def test_type_of_dds_is_named_as_in_ros():
    assert ros_type("geometry_msgs::msg::dds_::PoseArray_") == "geometry_msgs/msg/PoseArray"
