"""Videos, cameras and drawings of ``hot-infer``."""

import json
import os
import pty
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hot_sdk import Keypoints, Pose3DResult
from hot_sdk._base.progress import Progress
from hot_sdk.infer.cli import main
from hot_sdk.people import read_tracked_people

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed (extra video)")

EXERCISE = Path(__file__).parents[3] / "examples" / "data" / "exercise.mp4"
JUMP = EXERCISE.with_name("jump_mediapipe33.npz")


def infer(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def frames_of(path):
    capture = cv2.VideoCapture(str(path))
    pictures = []
    while (read := capture.read())[0]:
        pictures.append(read[1])
    return pictures


def with_scores(points):
    return np.column_stack([points, np.ones(len(points))]).ravel().tolist()


@pytest.fixture(scope="module")
def short_video(tmp_path_factory):
    """The first 24 frames of the exercise."""
    path = tmp_path_factory.mktemp("video") / "short.mp4"
    images = frames_of(EXERCISE)[:24]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30.0, (576, 576))
    for image in images:
        writer.write(image)
    writer.release()
    return path


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="mediapipe 0.10.14 has no wheel for it")
def test_video_becomes_poses_and_drawings(capsys, hot_file, short_video):
    pytest.importorskip("mediapipe")
    pytest.importorskip("rerun")
    pictures = ["--save-video", "out.mp4", "--save-plot", "out.png", "--save-rerun", "out.rrd"]
    options = ["--model", hot_file, "--max-people", 1, "--json", *pictures]
    status, out, err = infer(capsys, short_video, *options)
    assert (status, err) == (0, "")
    (record,) = json.loads(out)["results"]
    assert record["files"] == ["short_3d.npz", "out.png", "out.mp4", "out.rrd"]
    assert record["notes"] == ["1 person found by mediapipe 0.10.14"]
    assert record["detection_ms"] > 0.0
    result = Pose3DResult.load("short_3d.npz")
    assert (len(result), result.track_id) == (24, 1)
    drawn = frames_of("out.mp4")
    assert (len(drawn), drawn[0].shape) == (24, (480, 1280, 3))
    # The left half shows the video itself.
    video, shown = frames_of(short_video)[12], drawn[12][24:400, 132:508]
    small = cv2.resize(video, (376, 376), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - shown).mean() < 15.0
    assert np.abs(small[:, ::-1].astype(int) - shown).mean() > 30.0
    assert Path("out.png").stat().st_size > 10_000
    assert Path("out.rrd").read_bytes()[:4] == b"RRF2"


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="mediapipe 0.10.14 has no wheel for it")
def test_video_as_a_stream_until_a_time(capsys, hot_file, short_video):
    pytest.importorskip("mediapipe")
    options = ["--model", hot_file, "--duration", 0.5, "--lookahead", 2, "--max-people", 1]
    status, out, _ = infer(capsys, short_video, *options)
    assert status == 0
    assert "finding the people: " in out
    assert "lookahead of 2 frames" in out
    # The frame at half a second is the last.
    assert len(Pose3DResult.load("short_3d.npz")) == 16
    status, _, err = infer(capsys, short_video, "--model", hot_file, "--track-id", 7)
    assert status == 9
    assert "The people in the video are 1; 7 is not among them" in err


def test_video_without_people_is_an_error(capsys, hot_file, tmp_path):
    pytest.importorskip("mediapipe")
    writer = cv2.VideoWriter("empty.mp4", cv2.VideoWriter_fourcc(*"mp4v"), 30.0, (64, 64))
    for _ in range(5):
        writer.write(np.full((64, 64, 3), 90, dtype=np.uint8))
    writer.release()
    status, out, err = infer(capsys, "empty.mp4", "--model", hot_file, "--save-video", "out.mp4")
    assert (status, out) == (9, "")
    assert "No person was found in the 5 frames of 'empty.mp4'" in err
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_keypoint_file_is_drawn_without_images(capsys, hot_file, kind):
    target = f"out.{kind}"
    jump = Keypoints.from_file(JUMP)
    replace(jump, points=jump.points[:40], scores=jump.scores[:40]).save("start.npz")
    status, _, _ = infer(
        capsys, "start.npz", "--model", hot_file, "--save-video", target, "--lookahead", 1
    )
    assert status == 0
    drawn = frames_of(target)
    assert len(drawn) == 40
    # No person is seen in the first frames, and the man later.
    assert np.ptp(drawn[0][40:390, 20:620]) < 40
    assert np.ptp(drawn[30][40:390, 20:620]) > 150


def test_fast_clip_becomes_a_slower_gif(capsys, hot_file):
    jump = Keypoints.from_file(JUMP)
    np.savez(
        "fast.npz",
        points=jump.points[100:160],
        skeleton=jump.skeleton,
        image_size=jump.image_size,
        fps=120.0,
    )
    status, _, _ = infer(capsys, "fast.npz", "--model", hot_file, "--save-video", "out.gif")
    assert status == 0
    pil = pytest.importorskip("PIL.Image")
    with pil.open("out.gif") as gif:
        assert gif.n_frames == 20
        durations = []
        for place in range(gif.n_frames):
            gif.seek(place)
            durations.append(gif.info["duration"])
    assert sum(durations) == pytest.approx(500)


def test_each_person_has_a_plot(capsys, hot_file):
    pytest.importorskip("matplotlib")
    jump = Keypoints.from_file(JUMP)
    record = [
        {
            "image_id": f"{frame}.jpg",
            "idx": person,
            "score": 1.0,
            "keypoints": np.column_stack([jump.points[frame + 50, :17], np.ones(17)])
            .ravel()
            .tolist(),
        }
        for frame in range(30)
        for person in (1, 2)
    ]
    Path("two.json").write_text(json.dumps(record))
    known = ["--image-size", "1768x994", "--fps", 30, "--save-plot", "out.png"]
    status, _, _ = infer(capsys, "two.json", "--model", hot_file, *known)
    assert status == 0
    assert {path.name for path in Path().glob("*.png")} == {"out_1.png", "out_2.png"}


def coco_results(people):
    """COCO results, which have no ids, of the same man next to himself."""
    jump = Keypoints.from_file(JUMP)
    order = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
    lines = []
    for frame in range(60, 120):
        for person in range(people):
            # Who comes first in the file changes from frame to frame.
            place = (person + frame) % people
            points = jump.points[frame, order] + [600.0 * place, 0.0]
            values = np.column_stack([points, np.ones(17)]).ravel().tolist()
            lines.append(
                {"image_id": frame - 60, "category_id": 1, "keypoints": values, "score": 1.0}
            )
    return lines


def test_people_without_ids_are_tracked(capsys, hot_file):
    pytest.importorskip("trackers")
    Path("two.json").write_text(json.dumps(coco_results(2)))
    footage = read_tracked_people("two.json", image_size=(1768, 994), fps=30.0)
    assert [person.track_id for person in footage.people] == [1, 2]
    assert footage.notes == ("2 people were identified by tracking, because the file has no ids",)
    one, other = (person.points for person in footage.people)
    assert one.shape == (60, 17, 2)
    # Neither jumps from one man to the other.
    for points in (one, other):
        assert np.nanmax(np.abs(np.diff(points[:, 11], axis=0))) < 200.0
    apart = np.abs(np.nanmedian(one[:, 11, 0]) - np.nanmedian(other[:, 11, 0]))
    assert apart == pytest.approx(600.0, abs=1.0)
    assert footage.people[0].fps == 30.0
    known = ["--image-size", "1768x994", "--fps", 30]
    status, out, _ = infer(capsys, "two.json", "--model", hot_file, *known)
    assert status == 0
    assert "identified by tracking" in out


def test_people_seen_too_briefly_are_left_out_and_the_others_begin_where_they_are_seen(
    capsys, caplog, hot_file
):
    lines = coco_results(3)
    for at, line in enumerate(lines):
        line["track_id"] = (at % 3 + at // 3) % 3 + 1
    # The second comes at frame 25, and the third is a chance detection.
    kept = [line for line in lines if line["image_id"] >= {1: 0, 2: 25, 3: 55}[line["track_id"]]]
    Path("three.json").write_text(json.dumps(kept))
    known = ["--image-size", "1768x994", "--fps", 30, "--format", "csv", "--save-video", "a.mp4"]
    status, out, _ = infer(capsys, "three.json", "--model", hot_file, "--json", *known)
    assert status == 0
    (record,) = json.loads(out)["results"]
    left_out = "1 more person was left out, found in fewer than 30 frames."
    assert record["notes"] == [left_out]
    assert left_out in caplog.text
    spans = [(one["track_id"], one["first_frame"], one["frames"]) for one in record["people"]]
    assert spans == [(1, 0, 60), (2, 25, 35)]
    assert all(left_out in one["warnings"] for one in record["people"])
    rows = Path("three_2_3d.csv").read_text().splitlines()[2:]
    frames, times = zip(*(map(float, row.split(",")[:2]) for row in rows), strict=True)
    assert frames == tuple(range(25, 60))
    np.testing.assert_allclose(times, np.arange(25, 60) / 30)
    drawn = frames_of("a.mp4")
    assert len(drawn) == 60
    # The second person stands right of the first once there.
    early, late = (np.ptp(drawn[frame][100:380, 360:500]) for frame in (10, 40))
    assert early < 40 < 100 < late
    status, out, _ = infer(capsys, "three.json", "--model", hot_file, "--min-frames", 1, *known)
    assert status == 0
    assert Pose3DResult.load("three_3_3d.csv").first_frame == 55


def test_rate_of_a_video_in_slow_motion_is_given(capsys, hot_file, short_video):
    pytest.importorskip("mediapipe")
    # Under another name: the content says that it is a video.
    shutil.copy(short_video, "CLIP.MTS")
    options = ["--model", hot_file, "--max-people", 1, "--fps", 120]
    status, _, err = infer(capsys, "CLIP.MTS", *options)
    assert (status, err) == (0, "")
    result = Pose3DResult.load("CLIP_3d.npz")
    np.testing.assert_allclose(result.timestamps, np.arange(24) / 120, atol=1e-6)
    assert any("from 120 to" in policy.detail for policy in result.policies)


def test_one_person_without_id_is_not_tracked():
    Path("one.json").write_text(json.dumps(coco_results(1)))
    footage = read_tracked_people("one.json", image_size=(1768, 994), fps=30.0)
    assert (len(footage.people), footage.notes) == (1, ())


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nowhere.mp4"], 2, "There is no file 'nowhere.mp4'"),
        (["{video}", "--skeleton", "coco17"], 2, "--skeleton applies only to keypoint files"),
        (["{video}", "--fps", "0.01"], 2, "fps is 0.01; expected frames per second"),
        (["{video}", "--min-frames", "0"], 2, "--min-frames is 0"),
        (["0", "--fps", "30"], 2, "the frames of '0' have the times at which they come"),
        (["{video}", "--track-id", "largest"], 2, "people in a video are numbered"),
        (["{video}", "--detector", "mediapip"], 2, "Did you mean 'mediapipe'?"),
        (["{video}", "--max-people", "0"], 2, "max_people is 0"),
        (["{video}", "--duration", "0"], 2, "Give a number above 0"),
        (["{jump}", "--detector", "mediapipe"], 2, "--detector applies only to videos"),
        (["{jump}", "--duration", "3"], 2, "--duration applies only to videos"),
        (["{jump}", "--save-video", "out.avi"], 2, "ends in .mp4 or .gif"),
        (["{jump}", "--save-plot", "out.jpg"], 2, "ends in .png"),
        (["{jump}", "--save-rerun", "out.rerun"], 2, "ends in .rrd"),
        (["{jump}", "--save-video", "no/out.mp4"], 2, "The folder 'no' does not exist"),
        (["{jump}", "{video}", "--save-video", "out.mp4"], 2, "apply to one input"),
        (["{jump}", "{video}", "--fps", "30"], 2, "for videos and keypoint files together"),
        (["--archive", "{folder}", "--fps", "30"], 2, "for videos and keypoint files together"),
        (["{jump}", "--require-precision", "fp16"], 2, "is fp32, but --require-precision fp16 was"),
        (["broken.mp4"], 12, "cannot be opened as a video"),
        (["99"], 12, "Camera 99 cannot be opened"),
        (["ftp://somewhere/film"], 2, "Addresses that begin with 'ftp://'"),
    ],
)
def test_errors_are_one_line(capsys, hot_file, arguments, status, message):
    for needed in ("av", "matplotlib", "rerun"):
        pytest.importorskip(needed)
    Path("broken.mp4").write_bytes(b"no video at all")
    given = [
        argument.format(video=EXERCISE, jump=JUMP, folder=JUMP.parent) for argument in arguments
    ]
    found, out, err = infer(capsys, *given, "--model", hot_file)
    assert (found, out) == (status, "")
    assert err.startswith("hot-infer: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not list(Path().glob("*_3d*"))
    assert not list(Path().glob("out*"))


def test_film_of_a_camera_is_kept_to_be_drawn(capsys, hot_file, monkeypatch):
    """No camera is needed: the source alone decides what is live."""
    pytest.importorskip("mediapipe")
    monkeypatch.setattr("hot_sdk.infer.inputs.is_live_source", lambda source: True)
    options = ["--model", hot_file, "--duration", 0.5, "--max-people", 1, "--save-video", "out.mp4"]
    status, _, _ = infer(capsys, EXERCISE, *options)
    assert status == 0
    assert len(frames_of("out.mp4")) == len(Pose3DResult.load("exercise_3d.npz")) == 16


def test_bar_is_drawn_after_a_while_on_a_terminal_only():
    pytest.importorskip("rich")
    program = (
        "import sys, time\n"
        "from hot_sdk._base.progress import Progress\n"
        "with Progress('lifting') as bar:\n"
        "    for step in range(int(sys.argv[1])):\n"
        "        bar.update(step, 5)\n"
        "        time.sleep(0.5)\n"
    )
    shown = {}
    for steps in (6, 1):
        ours, theirs = pty.openpty()
        with subprocess.Popen([sys.executable, "-c", program, str(steps)], stderr=theirs) as run:
            os.close(theirs)
            shown_text = b""
            try:
                while chunk := os.read(ours, 4096):
                    shown_text += chunk
            except OSError:  # How a terminal ends.
                pass
            os.close(ours)
        assert run.returncode == 0
        shown[steps] = shown_text
    assert b"lifting" in shown[6]
    assert shown[1] == b""
    done = subprocess.run(
        [sys.executable, "-c", program, "6"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_bar_may_be_left_by_an_error(capsys):
    with pytest.raises(ZeroDivisionError), Progress("lifting") as bar:
        bar.update(1 // 0)
    assert capsys.readouterr().err == ""
