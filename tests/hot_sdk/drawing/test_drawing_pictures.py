"""Side-by-side pictures: what is where, and that nothing odd breaks them."""

import dataclasses

import numpy as np
import pytest

from hot_sdk.drawing import PersonFrame, SideBySide, Style, draw_side_by_side
from hot_sdk.drawing.canvas import Canvas
from hot_sdk.drawing.side_by_side import draw_latency_strip
from hot_sdk.drawing.skeleton_2d import draw_skeleton_2d
from hot_sdk.errors import UsageError

cv2 = pytest.importorskip("cv2", reason="drawing needs OpenCV (extra video)")

STYLE = Style()
LINKS = ((0, 1), (1, 2))
POINTS = np.array([[60.0, 80.0], [200.0, 80.0], [200.0, 300.0]])
POSE = np.zeros((17, 3))
POSE[[3, 6], 1], POSE[10, 1] = 0.9, -0.7
POSE[[1, 2, 3, 14, 15, 16], 0] = -0.2
POSE[[4, 5, 6, 11, 12, 13], 0] = 0.2


def image(height=360, width=640, value=127):
    return np.full((height, width, 3), value, dtype=np.uint8)


def person(**changes):
    fields = {
        "keypoints_2d": POINTS,
        "scores": np.ones(3),
        "links": LINKS,
        "left": (0, 1),
        "right": (2,),
        "pose": POSE,
        **changes,
    }
    return PersonFrame(**fields)


def draw(people, picture=None, **changes):
    return draw_side_by_side(picture, people, **{"time_s": 0.0, **changes})


def near(picture, x, y, color, reach=1):
    """Return True if a color is at a pixel or next to it."""
    part = picture[y - reach : y + reach + 1, x - reach : x + reach + 1].reshape(-1, 3)
    return (np.abs(part.astype(int) - color).max(axis=1) <= 3).any()


def has(picture, color):
    return (picture == np.array(color, dtype=np.uint8)).all(axis=-1).any()


def test_picture_has_the_requested_size():
    for size in ((1280, 480), (641, 243), (320, 160), (333, 777)):
        picture = draw([person()], image(), size=size)
        assert picture.shape == (size[1], size[0], 3)
        assert picture.dtype == np.uint8


def test_input_is_not_changed():
    given, points, history = image(), POINTS.copy(), np.arange(9.0)
    for array in (given, points, history):
        array.setflags(write=False)
    draw([person(keypoints_2d=points)], given, latency_ms_history=history, budget_ms=4.0)
    assert (given == 127).all()


def test_left_and_right_of_the_3d_view_stay_those_of_the_video():
    early, late = (draw([person()], image(), time_s=time_s) for time_s in (2.0, 14.0))
    np.testing.assert_array_equal(early[30:390], late[30:390])
    # The joints of the left side are right in the image, as of a person who faces the camera.
    panel = early[30:390, 641:].astype(int)
    blue, orange = (
        np.argwhere(panel[..., one] - panel[..., other] > 90)[:, 1].mean()
        for one, other in ((0, 2), (2, 0))
    )
    assert blue > orange + 40


def test_an_orbit_is_turned_by_time():
    style = Style(turn_period_s=24.0)
    one, again = (draw([person()], image(), time_s=2.0, style=style) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    turned = draw([person()], image(), time_s=4.0, style=style)
    assert (one[30:390, 700:] != turned[30:390, 700:]).any()
    round_ = draw([person()], image(), time_s=26.0, style=style)
    np.testing.assert_array_equal(one[30:390, 640:], round_[30:390, 640:])
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(UsageError, match="turn_period_s"):
            Style(turn_period_s=wrong)


def test_joints_and_links_are_at_the_keypoints():
    picture = image()
    draw_skeleton_2d(Canvas(picture), person())
    for x, y in POINTS.astype(int):
        assert near(picture, x, y, STYLE.high_score)
    assert near(picture, 130, 80, STYLE.left)
    assert near(picture, 200, 190, STYLE.middle)
    # Nothing else: what changed lies on the joints, the links and their rims.
    changed = np.argwhere((picture != 127).any(axis=-1))
    assert changed.min(axis=0).tolist() >= [70, 50]
    assert (changed.max(axis=0) <= [310, 210]).all()


def test_keypoints_lie_on_the_scaled_video():
    # A picture of 1280 x 720 in a panel of 639 x 376 is fitted to its width.
    given = image(720, 1280, 0)
    given[300:310, 800:810] = 255
    picture = draw([], given)
    found = np.argwhere((picture[:400, :639] > 240).all(axis=-1) & (np.arange(400) > 30)[:, None])
    white = found.mean(axis=0)[::-1]
    marked = draw(
        [person(keypoints_2d=np.array([[804.5, 304.5]]), scores=None, links=(), left=(), right=())],
        given,
    )
    assert near(marked, *np.rint(white).astype(int), STYLE.high_score)
    assert not near(picture, 100, 100, STYLE.high_score)


def test_missing_joints_are_not_drawn():
    for points, scores in (
        (np.full((3, 2), np.nan), np.ones(3)),
        (POINTS, np.zeros(3)),
        (np.full((3, 2), np.inf), None),
        (np.full((3, 2), -1e30), None),
        (np.array([[1e308, 1.0], [-np.inf, np.nan], [5e4, 5e4]]), None),
    ):
        picture = image()
        draw_skeleton_2d(Canvas(picture), person(keypoints_2d=points, scores=scores))
        assert (picture == 127).all()


def test_links_of_a_missing_joint_are_not_drawn():
    points = POINTS.copy()
    points[1] = np.nan
    picture = image()
    draw_skeleton_2d(Canvas(picture), person(keypoints_2d=points))
    assert near(picture, 60, 80, STYLE.high_score)
    assert (picture[:, 80:180] == 127).all()


def test_low_scores_are_hollow():
    picture = image()
    faint = person(scores=np.array([0.1, 0.1, 1.0]), links=())
    draw_skeleton_2d(Canvas(picture), faint)
    assert (picture[80, 60] == 127).all()
    assert (picture[70:90, 50:70] != 127).any()
    assert near(picture, 200, 300, STYLE.high_score)


def test_links_that_leave_the_picture_are_cut_off():
    points = np.array([[320.0, 180.0], [5000.0, 180.0], [-3000.0, -9000.0]])
    picture = image()
    draw_skeleton_2d(Canvas(picture), person(keypoints_2d=points))
    assert near(picture, 639, 180, STYLE.left, reach=0)
    whole = draw([person(keypoints_2d=points)], image())
    # The 3D panel begins right of the video's.
    clean = draw([person(keypoints_2d=None, scores=None, links=())], image())
    np.testing.assert_array_equal(whole[:, 639:], clean[:, 639:])


def test_no_people_and_no_image():
    picture = draw([], None, latency_ms_history=np.empty(0))
    assert has(picture[24:400, :639], STYLE.panel)
    assert not has(picture, STYLE.left) or not has(picture[30:390], STYLE.left)


def test_guessed_joints_are_hollow_in_3d():
    plain = dataclasses.replace(STYLE, elevation_degrees=0.0)
    sure = draw([person(keypoints_2d=None, scores=None, links=())], style=plain)
    guessed = draw(
        [person(keypoints_2d=None, scores=None, links=(), valid=np.zeros(17, dtype=bool))],
        style=plain,
    )
    blue = [
        np.abs(p[30:390, 640:, 0].astype(int) - p[30:390, 640:, 2]) > 90 for p in (sure, guessed)
    ]
    assert blue[1].sum() < 0.6 * blue[0].sum()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_broken_poses_do_not_break_the_picture(value):
    broken = POSE.copy()
    broken[[2, 9]] = value
    assert has(draw([person(pose=broken)])[30:390, 640:], STYLE.grid)
    whole = draw([person(pose=np.full((17, 3), value))])
    assert not has(whole[30:390, 640:], STYLE.grid)


def test_people_of_one_scene_and_of_many():
    roots = [np.array([x, 0.0, 5.0]) for x in (-1.0, 1.0)]
    shared = draw([person(track_id=i, root=root) for i, root in enumerate(roots)])
    apart = draw([person(track_id=i) for i in range(2)])
    crowd = draw([person(track_id=f"person {i} Ω") for i in range(9)], image())
    assert (shared != apart).any()
    # Six have a view each; below the names, none is empty.
    for start in range(641, 1279, 107):
        cell = crowd[60:390, start : start + 100].astype(int)
        assert ((cell[..., 0] - cell[..., 2]) > 90).any()
        assert ((cell[..., 2] - cell[..., 0]) > 60).any()


def test_latency_bars_and_budget():
    strip = np.zeros((80, 1280, 3), dtype=np.uint8)
    draw_latency_strip(Canvas(strip), np.array([5.0, 20.0, np.nan, 5.0]), 10.0)
    assert has(strip, STYLE.bar)
    assert has(strip, STYLE.late_bar)
    assert has(strip, STYLE.budget)
    # Bars end at the right: the late one is the third from there, a gap follows, then the last.
    row = strip[70, 1280 - 116 - 24 : 1280 - 116]
    colors = [tuple(row[6 * place + 1].tolist()) for place in range(4)]
    assert colors == [STYLE.bar, STYLE.late_bar, STYLE.panel, STYLE.bar]


def test_latency_says_what_it_counts():
    strips = [np.zeros((80, 1280, 3), dtype=np.uint8) for _ in range(2)]
    for strip, counted in zip(strips, ("detection + lifting per frame", "lifting"), strict=True):
        draw_latency_strip(Canvas(strip), np.array([5.0]), 33.3, counted)
    written = [np.flatnonzero((strip[:20, :200] > 60).any(axis=(0, 2))).max() for strip in strips]
    assert written[0] > written[1] + 60
    np.testing.assert_array_equal(strips[0][25:], strips[1][25:])


@pytest.mark.parametrize(
    "history", [[], [np.nan], [np.nan, np.inf], [0.0], [-1.0, 0.0], [1e300], [3.0] * 5000]
)
def test_any_history_can_be_drawn(history):
    for budget in (None, 1e-9, 33.3):
        picture = draw([], latency_ms_history=np.array(history), budget_ms=budget)
        assert has(picture[400:], STYLE.late_bar) <= bool(np.size(history))


def test_history_grows_frame_by_frame():
    painter = SideBySide(fps=30.0)
    for number in range(3):
        picture = painter.draw(None, [], time_s=number / 30, latency_ms=50.0)
    strip = (picture[400:] == np.array(STYLE.late_bar, dtype=np.uint8)).all(axis=-1)
    columns = np.flatnonzero(strip[60, 205:])
    assert len(columns) == 3 * 5
    assert painter.size == (1280, 480)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4), dtype=np.uint8),
        np.zeros((4, 4, 4), dtype=np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), dtype=np.uint8),
    ],
)
def test_rejects_arrays_that_are_not_images(picture):
    with pytest.raises(UsageError, match="image"):
        draw([], picture)


def test_rejects_other_sizes_and_times():
    for size in ((0, 0), (319, 480), (100_000, 480)):
        with pytest.raises(UsageError, match="expected"):
            draw([], size=size)
    with pytest.raises(UsageError, match="time_s"):
        draw([], time_s=np.nan)


def test_images_of_odd_shapes_fit():
    for shape in ((1, 1), (1, 3000), (3000, 1), (7, 5)):
        assert draw([person()], image(*shape)).shape == (480, 1280, 3)


def test_rejects_people_of_other_shapes():
    for change in (
        {"keypoints_2d": np.zeros((3, 3))},
        {"scores": np.ones(4)},
        {"pose": np.zeros((16, 3))},
        {"valid": np.ones(16, dtype=bool)},
        {"root": np.zeros(2)},
        {"links": ((0, 3),)},
        {"links": ((-1, 0),)},
    ):
        with pytest.raises(UsageError):
            person(**change)
