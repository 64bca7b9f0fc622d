"""What a worker does with one input, and what it does not touch."""

import contextlib
import dataclasses
import json
from pathlib import Path

import pytest

from hot_sdk import Pose3DResult
from hot_sdk.errors import EngineError
from hot_sdk.infer.batch import run_batch
from hot_sdk.infer.batch_job import Outcome, lift_one

RESULTS = Path("results")


def states(job, openings, *names):
    return [lift_one(job, name, openings).state for name in names]


def test_results_mirror_the_input_folder_and_equal_names_stay_apart(job, openings, save, changed):
    save("archive/day 1/clip.npz")
    save("archive/day 2/clip.npz", 50)
    coco = [
        {"image_id": f"{at}.jpg", "keypoints": [*range(1, 51), at + 1], "idx": 1}
        for at in range(30)
    ]
    Path("archive/day 1/clip.json").write_text(json.dumps(coco))
    with_size = changed(job, image_size=(640, 480), fps=25.0)
    names = ["day 1/clip.npz", "day 2/clip.npz"]
    outcomes = [lift_one(job, name, openings) for name in names]
    outcomes.append(lift_one(with_size, "day 1/clip.json", openings))
    assert [outcome.message for outcome in outcomes] == [None, None, None]
    assert [outcome.frames for outcome in outcomes] == [40, 50, 30]
    files = [outcome.files[0] for outcome in outcomes]
    assert files[:2] == ["day 1/clip.npz_3d.npz", "day 2/clip.npz_3d.npz"]
    assert [len(Pose3DResult.load(RESULTS / file)) for file in files] == [40, 50, 30]


def test_only_what_is_new_or_changed_is_lifted(job, openings, save, changed, tmp_path):
    save("archive/a.npz")
    assert states(job, openings, "a.npz", "a.npz") == ["done", "skipped"]
    assert len(openings.engines) == 1
    # The content of a file counts, not its time.
    Path("archive/a.npz").touch()
    assert states(job, openings, "a.npz") == ["skipped"]
    save("archive/a.npz", 41)
    assert states(job, openings, "a.npz", "a.npz") == ["done", "skipped"]
    other = changed(job, constant_bones=True)
    assert states(other, openings, "a.npz", "a.npz") == ["done", "skipped"]
    flipped = dataclasses.replace(job, engine=dataclasses.replace(job.engine, flip=True))
    assert states(flipped, openings, "a.npz") == ["done"]
    model = dataclasses.replace(job, model_sha256="another")
    assert states(model, openings, "a.npz", "a.npz") == ["done", "skipped"]
    (RESULTS / "a.npz_3d.npz").unlink()
    assert states(model, openings, "a.npz") == ["done"]
    # As a power failure may leave it, and cut off.
    for broken in ("", "{"):
        (RESULTS / "a.npz.done.json").write_text(broken)
        assert states(model, openings, "a.npz", "a.npz") == ["done", "skipped"]
    assert sorted(path.name for path in RESULTS.iterdir()) == ["a.npz.done.json", "a.npz_3d.npz"]


def test_stale_results_of_an_earlier_run_are_removed(job, openings, save, changed):
    save("archive/a.npz")
    (RESULTS / "mine.txt").write_text("mine")
    both = changed(job, formats=("npz", "csv"))
    assert states(both, openings, "a.npz") == ["done"]
    assert (RESULTS / "a.npz_3d.csv").is_file()
    record = json.loads((RESULTS / "a.npz.done.json").read_text())
    record["files"].append("mine.txt")
    (RESULTS / "a.npz.done.json").write_text(json.dumps(record))
    assert states(job, openings, "a.npz") == ["done"]
    assert sorted(path.name for path in RESULTS.iterdir()) == [
        "a.npz.done.json",
        "a.npz_3d.npz",
        "mine.txt",
    ]


def test_people_whose_ids_make_the_same_name_are_numbered(job, openings, changed):
    people = [
        {"image_id": f"{at}.jpg", "keypoints": [*range(1, 51), at + 1], "idx": who}
        for at in range(30)
        for who in ("a b", "a_b")
    ]
    Path("archive/two.json").write_text(json.dumps(people))
    outcome = lift_one(changed(job, image_size=(640, 480), fps=25.0), "two.json", openings)
    assert outcome.files == ("two.json_1_a_b_3d.npz", "two.json_2_a_b_3d.npz")
    ids = [Pose3DResult.load(RESULTS / file).track_id for file in outcome.files]
    assert ids == ["a b", "a_b"]


def test_a_folder_of_openpose_is_one_input(job, openings, changed):
    folder = Path("archive/walk")
    folder.mkdir()
    for frame in range(30):
        pose = [float(value) for joint in range(18) for value in (joint + 1, frame + 1, 0.9)]
        person = {"person_id": [-1], "pose_keypoints_2d": pose}
        (folder / f"{frame}_keypoints.json").write_text(json.dumps({"people": [person]}))
    sized = changed(job, image_size=(640, 480), fps=25.0)
    assert states(sized, openings, "walk", "walk") == ["done", "skipped"]
    (folder / "29_keypoints.json").unlink()
    outcome = lift_one(sized, "walk", openings)
    assert (outcome.state, outcome.frames, outcome.files) == ("done", 29, ("walk_3d.npz",))


def test_what_is_wrong_with_an_input_is_told(job, openings, save, monkeypatch):
    Path("archive/broken.json").write_text("[1")
    outcome = lift_one(job, "broken.json", openings)
    assert (outcome.state, outcome.code) == ("failed", "keypoints")
    assert "not JSON" in outcome.message
    outcome = lift_one(job, "absent.npz", openings)
    assert (outcome.state, outcome.code) == ("failed", "internal")
    assert "FileNotFoundError" in outcome.message
    assert list(RESULTS.iterdir()) == []


def test_another_model_under_the_same_name_is_refused(job, tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(Path(job.model).read_bytes())
    same = dataclasses.replace(job, model=str(model))
    same.open_engine().close()
    model.write_bytes(b"another")
    with pytest.raises(EngineError, match="was changed"):
        same.open_engine()
    model.unlink()
    with pytest.raises(EngineError, match="all workers see"):
        same.open_engine()


def test_what_a_worker_lifted_before_it_died_counts_as_done(job, openings, save, monkeypatch):
    for name in ("before", "now"):
        save(f"archive/{name}.npz")
    assert states(job, openings, "before.npz") == ["done"]

    @contextlib.contextmanager
    def dying(*_arguments, **_options):
        class Dying:
            died = False

            def lift(self, names):
                for name in names:
                    outcome = lift_one(job, name, openings)
                    if name == "now.npz" and not self.died:
                        # Killed between the record and its answer.
                        self.died = True
                        outcome = Outcome(name, "failed", code="worker")
                    yield outcome

        yield Dying()

    monkeypatch.setattr("hot_sdk.infer.batch.ray_process", dying)
    report = run_batch(job, ["before.npz", "now.npz"], workers=1)
    assert (report.done, report.skipped, report.failed) == (1, 1, 0)
    assert [entry.attempts for entry in report.inputs] == [1, 2]
