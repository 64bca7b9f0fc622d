"""Which files of a folder are inputs of a batch."""

import shutil
from pathlib import Path

import pytest

from hot_sdk.errors import UsageError
from hot_sdk.infer.batch import find_inputs


@pytest.fixture(autouse=True)
def _tree():
    for name in (
        "films/a.mp4",
        "films/notes.txt",
        "films/.hidden.json",
        "films/.cache/b.json",
        "films/day/b.npz",
        "films/day/B.CSV",
        "films/day/c.jsonl",
        "films/day/c.trc",
        "films/walk/000_keypoints.json",
        "films/walk/001_keypoints.json",
        "films/walk/film.avi",
        "films/results/a.mp4_3d.npz",
        "empty/readme.md",
    ):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    Path("films/link.json").symlink_to("day/b.npz")
    Path("out").mkdir()


DAY = ("day/B.CSV", "day/b.npz", "day/c.jsonl", "day/c.trc")
FOUND = ("a.mp4", *DAY, "link.json", "walk", "walk/film.avi")


def test_folder_yields_what_can_be_lifted():
    root, names = find_inputs("films", Path("films/results"))
    assert (root, names) == (Path("films").resolve(), FOUND)
    assert find_inputs("films", Path("out"))[1] == (
        *FOUND[:5],
        "link.json",
        *sorted(["results/a.mp4_3d.npz", "walk", "walk/film.avi"]),
    )


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("films/**/*.npz", ("day/b.npz", "results/a.mp4_3d.npz")),
        ("films/*", ("a.mp4", "link.json", "walk")),
        ("films/d?y/*", DAY),
    ],
)
def test_glob_yields_what_it_matches(pattern, names):
    assert find_inputs(pattern, Path("out")) == (Path("films").resolve(), names)


@pytest.mark.parametrize("archive", ["films/walk", "films/walk/*.json"])
def test_openpose_folder_given_itself_keeps_its_name(archive):
    root, names = find_inputs(archive, Path("out"))
    assert root == Path("films").resolve()
    assert names == (("walk",) if "*" in archive else ("walk", "walk/film.avi"))


@pytest.mark.parametrize(
    ("archive", "output", "message"),
    [
        ("nowhere", "out", "no folder 'nowhere'"),
        ("nowhere/*.json", "out", "no folder 'nowhere'"),
        ("empty", "out", "Nothing in 'empty' can be lifted"),
        ("films/*.xyz", "out", "can be lifted"),
        ("films", "films", "would lie in 'films'"),
        ("films", ".", "--output-dir DIR"),
    ],
)
def test_rejects_folders_without_inputs_or_with_the_results(archive, output, message):
    with pytest.raises(UsageError, match=message):
        find_inputs(archive, Path(output))


@pytest.mark.parametrize("name", ["clip", "CLIP.MTS", "clip.ts", "clip.bin"])
def test_videos_are_found_by_their_content(name):
    shutil.copy(Path(__file__).parents[3] / "examples" / "data" / "exercise.mp4", f"films/{name}")
    Path("films/program.ts").write_text("export const frames = 30;\n")
    found = set(find_inputs("films", Path("films/results"))[1]) - set(FOUND)
    assert found == {name}
    assert find_inputs("films/[Cc]*", Path("out"))[1] == (name,)


def test_folder_of_frames_under_any_names_is_one_input():
    folder = Path("films/cam01_json")
    folder.mkdir()
    for frame in (5, 6, 7):
        (folder / f"cam01.{frame:04d}.json").write_text('{"version": 1.3, "people": []}')
    names = find_inputs("films", Path("out"))[1]
    assert [name for name in names if "cam01" in name] == ["cam01_json"]
    assert find_inputs("films/cam*", Path("out"))[1] == ("cam01_json",)
