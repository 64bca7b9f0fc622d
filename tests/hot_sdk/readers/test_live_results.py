"""Results that a detector's loop has in hand: MediaPipe's own classes, and stand-ins."""

import subprocess
import sys
import warnings
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest

from hot_sdk import Keypoints
from hot_sdk.errors import KeypointsError

SIZE = (640, 480)


def table(joints, people=1, seed=0):
    """Points in pixels and scores, (people, joints, 3); the first person has the smallest box."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(100, 110, (people, joints, 2)) * np.arange(1, people + 1)[:, None, None]
    return np.concatenate([points, rng.uniform(0.5, 1.0, (people, joints, 1))], axis=-1)


def same(found, expected):
    np.testing.assert_allclose(found.points, expected[..., :2], rtol=1e-5)
    np.testing.assert_allclose(found.scores, expected[..., 2], rtol=1e-5)


def is_missing(clip, frame):
    return np.isnan(clip.points[frame]).all() and (clip.scores[frame] == 0.0).all()


class TestMediaPipe:
    @pytest.fixture(autouse=True)
    def tasks(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pytest.importorskip("mediapipe", reason="mediapipe is not installed (extra video)")
            from mediapipe.framework.formats import landmark_pb2
            from mediapipe.tasks.python.components.containers.landmark import NormalizedLandmark
            from mediapipe.tasks.python.vision.pose_landmarker import PoseLandmarkerResult
        self.landmark_pb2, self.Landmark = landmark_pb2, NormalizedLandmark
        self.Result = PoseLandmarkerResult

    def result(self, *people):
        landmarks = [
            [self.Landmark(x / 640, y / 480, 0.1, visibility=score) for x, y, score in person]
            for person in people
        ]
        return self.Result(pose_landmarks=landmarks, pose_world_landmarks=[])

    def legacy(self, person):
        outputs = namedtuple("SolutionOutputs", ["pose_landmarks", "pose_world_landmarks"])
        if person is None:
            return outputs(None, None)
        landmarks = self.landmark_pb2.NormalizedLandmarkList()
        for x, y, score in person:
            landmarks.landmark.add(x=x / 640, y=y / 480, z=0.1, visibility=score)
        return outputs(landmarks, None)

    def test_one_result_is_one_frame(self):
        found = Keypoints.from_mediapipe(self.result(*table(33)), SIZE)
        same(found, table(33))
        assert (found.skeleton, found.image_size, found.fps) == ("mediapipe33", SIZE, None)

    def test_results_of_frames_are_a_clip(self):
        first, last = table(33), table(33, seed=1)
        results = [self.result(*first), self.result(), None, self.result(*last)]
        found = Keypoints.from_mediapipe(results, SIZE, fps=30.0)
        same(frames_of(found, [0, 3]), np.concatenate([first, last]))
        assert (len(found), found.fps) == (4, 30.0)
        assert is_missing(found, 1)
        assert is_missing(found, 2)

    def test_legacy_results_are_a_clip(self):
        (person,) = table(33)
        same(Keypoints.from_mediapipe(self.legacy(person), SIZE), table(33))
        results = (self.legacy(one) for one in (person, None))
        found = Keypoints.from_mediapipe(results, SIZE, timestamps=[0.0, 0.04])
        same(frames_of(found, [0]), table(33))
        assert is_missing(found, 1)
        assert found.timestamps.tolist() == [0.0, 0.04]

    @pytest.mark.parametrize("legacy", [False, True])
    def test_frame_without_people_is_missing(self, legacy):
        found = Keypoints.from_mediapipe(self.legacy(None) if legacy else self.result(), SIZE)
        assert found.points.shape == (1, 33, 2)
        assert is_missing(found, 0)

    def test_landmarks_without_visibility_are_certain(self):
        landmarks = [[self.Landmark(0.5, 0.25)] * 33]
        found = Keypoints.from_mediapipe(self.Result(landmarks, []), SIZE)
        assert (found.points == [320.0, 120.0]).all()
        assert (found.scores == 1.0).all()

    def test_several_people_need_a_choice(self):
        people = table(33, people=2)
        with pytest.raises(KeypointsError, match="several people without track ids"):
            Keypoints.from_mediapipe(self.result(*people), SIZE)
        found = Keypoints.from_mediapipe(self.result(*people), SIZE, track_id="largest")
        same(found, people[1:])

    def test_rejects_results_of_hands(self):
        hands = SimpleNamespace(pose_landmarks=[[self.Landmark(0.5, 0.5)] * 21])
        with pytest.raises(KeypointsError, match=r"\(1, 21, 2\); expected \(frames, 33, 2\)"):
            Keypoints.from_mediapipe(hands, SIZE)

    def test_rejects_impossible_sizes(self):
        with pytest.raises(KeypointsError, match="image_size is"):
            Keypoints.from_mediapipe(self.result(*table(33)), (640.5, 480))


def frames_of(clip, frames):
    return SimpleNamespace(points=clip.points[frames], scores=clip.scores[frames])


class Tensor:
    """As torch's: no array until it is on the CPU."""

    def __init__(self, values, device="cuda"):
        self._values, self._device = np.asarray(values, dtype=np.float32), device

    def cpu(self):
        return Tensor(self._values, "cpu")

    def __array__(self, dtype=None, copy=None):
        if self._device != "cpu":
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        return self._values.astype(dtype or self._values.dtype)


class Results:
    """As ``ultralytics.engine.results.Results`` 8.3: joints below 0.5 are at 0, 0."""

    def __init__(self, people, ids=None, size=SIZE, scored=True):
        people = np.asarray(people, dtype=np.float32).reshape(-1, np.shape(people)[-2], 3)
        points = np.where(people[..., 2:] < 0.5, 0.0, people[..., :2])
        conf = Tensor(people[..., 2]) if scored else None
        self.orig_shape = size[::-1]
        self.keypoints = SimpleNamespace(xy=Tensor(points), conf=conf)
        self.boxes = SimpleNamespace(id=None if ids is None else Tensor(ids))

    def __len__(self):
        return len(self.keypoints.xy.cpu()._values)

    def __getitem__(self, index):
        return self


EMPTY = Results(np.zeros((0, 17, 3)))


class TestUltralytics:
    def test_one_result_is_one_frame(self):
        found = Keypoints.from_ultralytics(Results(table(17)))
        same(found, table(17))
        assert (found.skeleton, found.image_size, found.track_id) == ("coco17", SIZE, None)

    def test_results_of_frames_are_a_clip(self):
        results = [Results(table(17)), EMPTY, Results(table(17))]
        found = Keypoints.from_ultralytics(results, fps=25.0)
        assert (len(found), found.fps) == (3, 25.0)
        assert is_missing(found, 1)
        assert np.isfinite(found.points[[0, 2]]).all()

    def test_uncertain_joints_are_missing(self):
        people = table(17)
        people[0, 3, 2] = 0.2
        found = Keypoints.from_ultralytics(Results(people))
        assert np.isnan(found.points[0]).any(axis=-1).tolist() == [at == 3 for at in range(17)]
        assert found.scores[0, 3] == 0.0

    def test_people_are_chosen_by_track_id(self):
        people = table(17, people=2)
        # An unconfirmed person has no id, and leaves the frame without ids.
        results = [Results(people, [7, 8]), Results(people[::-1], [8, 7]), Results(people[:1])]
        found = Keypoints.from_ultralytics(results, track_id=8)
        same(frames_of(found, [0, 1]), people[[1, 1]])
        assert found.track_id == 8
        assert is_missing(found, 2)
        with pytest.raises(KeypointsError, match=r"2 people \(7, 8\), and none was chosen"):
            Keypoints.from_ultralytics(results)
        with pytest.raises(KeypointsError, match="9 is none of them"):
            Keypoints.from_ultralytics(results, track_id=9)
        same(frames_of(Keypoints.from_ultralytics(results, track_id="largest"), [0]), people[1:])

    def test_frame_without_people_is_missing(self):
        found = Keypoints.from_ultralytics(EMPTY, track_id=8)
        assert is_missing(found, 0)
        assert found.track_id == 8

    def test_models_without_scores_have_none(self):
        assert Keypoints.from_ultralytics(Results(table(17), scored=False)).scores is None

    def test_other_joints_need_a_skeleton(self):
        result = Results(table(14))
        with pytest.raises(KeypointsError, match="does not say its skeleton"):
            Keypoints.from_ultralytics(result)
        assert Keypoints.from_ultralytics(result, skeleton="aic14").skeleton == "aic14"

    def test_rejects_images_of_different_sizes(self):
        with pytest.raises(KeypointsError, match="2 sizes"):
            Keypoints.from_ultralytics([Results(table(17)), Results(table(17), size=(320, 240))])

    def test_rejects_results_of_other_models(self):
        boxes_only = SimpleNamespace(orig_shape=(480, 640), keypoints=None, boxes=None)
        with pytest.raises(KeypointsError, match="frame 0 has a SimpleNamespace"):
            Keypoints.from_ultralytics(boxes_only)


def rtmlib_result(people):
    return people[..., :2].copy(), people[..., 2].copy()


class TestRtmlib:
    @pytest.mark.parametrize(
        ("joints", "skeleton"), [(17, "coco17"), (26, "halpe26"), (133, "coco_wholebody133")]
    )
    def test_one_result_is_one_frame(self, joints, skeleton):
        found = Keypoints.from_rtmlib(rtmlib_result(table(joints)), SIZE)
        same(found, table(joints))
        assert (found.skeleton, found.image_size) == (skeleton, SIZE)

    @pytest.mark.parametrize("kind", [list, tuple, iter])
    def test_results_of_frames_are_a_clip(self, kind):
        none = np.zeros((0, 17, 2)), np.zeros((0, 17))
        results = kind([rtmlib_result(table(17)), none])
        found = Keypoints.from_rtmlib(results, SIZE, fps=30.0)
        same(frames_of(found, [0]), table(17))
        assert is_missing(found, 1)

    def test_several_people_need_a_choice(self):
        people = table(17, people=3)
        with pytest.raises(KeypointsError, match="several people without track ids"):
            Keypoints.from_rtmlib(rtmlib_result(people), SIZE)
        found = Keypoints.from_rtmlib(rtmlib_result(people), SIZE, track_id="largest")
        same(found, people[2:])

    def test_skeleton_of_another_model_is_named(self):
        found = Keypoints.from_rtmlib(rtmlib_result(table(17)), SIZE, skeleton="h36m17")
        assert found.skeleton == "h36m17"

    @pytest.mark.parametrize(
        "result",
        [
            (np.zeros((1, 17, 2)), np.zeros((1, 16))),
            (np.zeros((1, 17, 3)), np.zeros((1, 17))),
            (np.zeros((17, 2)), np.zeros(17)),
            (np.full((1, 17, 2), "a"), np.zeros((1, 17))),
        ],
    )
    def test_rejects_arrays_of_other_shapes(self, result):
        with pytest.raises(KeypointsError, match="rtmlib's results were expected, but frame 0"):
            Keypoints.from_rtmlib(result, SIZE)


@pytest.mark.parametrize("results", [None, 3, "clip.json", {}, [], [3], [None], object(), {"a": 1}])
def test_rejects_what_is_no_result(results):
    for convert in (
        lambda: Keypoints.from_mediapipe(results, SIZE),
        lambda: Keypoints.from_ultralytics(results),
        lambda: Keypoints.from_rtmlib(results, SIZE),
    ):
        with pytest.raises(KeypointsError, match="results"):
            convert()


def test_converting_imports_no_detector():
    code = (
        "import sys, numpy as np; from hot_sdk import Keypoints;"
        "Keypoints.from_rtmlib((np.ones((1, 17, 2)), np.ones((1, 17))), (640, 480));"
        "print(*[name for name in ('mediapipe', 'ultralytics', 'rtmlib') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
