"""Tables as spreadsheets, pandas, DeepLabCut, SLEAP and Sports2D write them."""

from pathlib import Path

import numpy as np
import pytest

from hot_sdk import Keypoints
from hot_sdk.errors import KeypointsError
from hot_sdk.people import read_people
from hot_sdk.readers import read_frames
from hot_sdk.readers.tables import csv_table
from hot_sdk.skeletons import skeleton_format

SQUATS = Keypoints.from_file(Path(__file__).parent / "data" / "squats_mediapipe33.npz")
SIZE = SQUATS.image_size
NAMES = skeleton_format("coco17").joints
COCO = [skeleton_format("mediapipe33").joints.index(name) for name in NAMES]
POINTS = SQUATS.points[:, COCO].astype(np.float64).round(2)
SCORES = SQUATS.scores[:, COCO].astype(np.float64).round(3)
FRAMES = len(POINTS)


def table(
    column="{joint}_{part}",
    frame=str,
    separator=",",
    first="frame",
    parts=("x", "y", "score"),
    spell=str,
    lead=lambda _: [],
):
    header = [column.format(joint=spell(joint), part=part) for joint in NAMES for part in parts]
    lines = [[*([""] if lead(0) else []), first, *header]]
    for number in range(FRAMES):
        values = np.concatenate([POINTS[number], SCORES[number][:, None]], axis=1)
        cells = [str(value) for value in values[:, : len(parts)].reshape(-1)]
        lines.append([*lead(number), frame(number), *cells])
    if separator == ";":
        lines = [[cell.replace(".", ",") for cell in line] for line in lines]
    return "\n".join(separator.join(line) for line in lines) + "\n"


TABLES = {
    "plain": table(),
    "semicolons, commas in numbers": table(separator=";"),
    "tabs": table(separator="\t"),
    "index of pandas": table(lead=lambda number: [str(number)]),
    "upper case": table(spell=str.upper).replace("_x,", "_X,").replace("frame", "Frame"),
    "frames as floats": table(frame=lambda number: f"{number}.0"),
    "from frame 1000": table(frame=lambda number: str(1000 + number)),
    "from frame 1": table(frame=lambda number: str(1 + number)),
    "dots": table(column="{joint}.{part}", first="frame_idx"),
    "likelihood": table().replace("_score", "_likelihood"),
    "confidence": table().replace("_score", "_confidence"),
    "windows": "\ufeff" + table().replace("\n", "\r\n"),
    "camel case": table(spell=lambda name: name.title().replace("_", "")),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_the_same_clip(tmp_path, name):
    (tmp_path / "a.csv").write_bytes(TABLES[name].encode())
    found = Keypoints.from_file(tmp_path / "a.csv", "csv", image_size=SIZE)
    assert (len(found), found.skeleton) == (FRAMES, "coco17")
    np.testing.assert_allclose(found.points, POINTS, atol=1e-3)
    np.testing.assert_allclose(found.scores, SCORES, atol=1e-6)


def test_a_table_without_a_face_needs_the_skeletons_name(tmp_path):
    rows = [line.split(",") for line in table().splitlines()]
    (tmp_path / "a.csv").write_text("\n".join(",".join([row[0], *row[16:]]) for row in rows))
    with pytest.raises(KeypointsError, match="names 12 joints") as caught:
        Keypoints.from_file(tmp_path / "a.csv", image_size=SIZE)
    assert "--skeleton" in caught.value.hint
    found = Keypoints.from_file(tmp_path / "a.csv", image_size=SIZE, skeleton="coco17")
    assert np.isnan(found.points[:, :5]).all()
    np.testing.assert_allclose(found.points[:, 5:], POINTS[:, 5:], atol=1e-3)
    (warning,) = found.warnings
    assert "missing: nose, left_eye" in warning


def test_the_first_frames_number_is_noted(tmp_path):
    (tmp_path / "a.csv").write_text(TABLES["from frame 1000"])
    assert "frame 1000 is frame 0" in read_frames(tmp_path / "a.csv", image_size=SIZE).notes[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (table(first="number"), "no column 'frame'"),
        (table(frame=lambda number: f"{number}.5"), "line 2, column 'frame': '0.5' is no whole"),
        (table().replace("\n3,", "\n3,x", 1), "line 5, column 'nose_x': 'x"),
        (table(frame=lambda number: str(40 * number)), "steps of about 40, as times are"),
        (table().replace("left_ankle", "tail"), "coco17, also has left_ankle"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_column(tmp_path, text, said):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(KeypointsError, match=said):
        Keypoints.from_file(tmp_path / "a.csv", image_size=SIZE)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_is_named(tmp_path, encoding):
    mark = "" if encoding == "utf-16" else "\ufeff"
    (tmp_path / "a.csv").write_bytes((mark + table()).encode(encoding))
    with pytest.raises(KeypointsError, match="UTF-16") as caught:
        Keypoints.from_file(tmp_path / "a.csv", image_size=SIZE)
    assert "UTF-8" in caught.value.hint


def deeplabcut(people=("",), index=lambda number: [str(number)], spell=str):
    count = len(index(0))
    blank = [""] * (count - 1)
    cells = [(person, spell(joint)) for person in people for joint in NAMES]
    lines = [["scorer", *blank, *["DLC_resnet50"] * 3 * len(cells)]]
    if people != ("",):
        lines.append(["individuals", *blank, *[p for p, _ in cells for _ in range(3)]])
    lines.append(["bodyparts", *blank, *[name for _, name in cells for _ in range(3)]])
    lines.append(["coords", *blank, *["x", "y", "likelihood"] * len(cells)])
    for number in range(FRAMES):
        row = np.concatenate([POINTS[number], SCORES[number][:, None]], axis=1).reshape(-1)
        values = []
        for place, _ in enumerate(people):
            away = place == 1 and number == 4
            values += ["" if away else str(value + 5 * place) for value in row]
        lines.append([*index(number), *values])
    return "\n".join(",".join(line) for line in lines) + "\n"


@pytest.mark.parametrize(
    "index",
    [
        lambda number: [str(number)],
        lambda number: [str(200 + number)],
        lambda number: [f"labeled-data/clip7/img{number:04}.png"],
        lambda number: ["labeled-data", "clip7", f"img{number + 12:04}.png"],
    ],
    ids=range(4),
)
def test_deeplabcut_is_read_by_body_parts(tmp_path, index):
    (tmp_path / "a.csv").write_text(deeplabcut(index=index, spell=lambda name: name.title()))
    found = Keypoints.from_file(tmp_path / "a.csv", "deeplabcut", image_size=SIZE)
    assert (len(found), found.skeleton, found.track_id) == (FRAMES, "coco17", None)
    np.testing.assert_allclose(found.points, POINTS, atol=1e-3)
    np.testing.assert_allclose(found.scores, SCORES, atol=1e-6)


def test_individuals_of_deeplabcut_are_people(tmp_path):
    (tmp_path / "a.csv").write_text(deeplabcut(people=("ann", "bob")))
    ann, bob = read_people(tmp_path / "a.csv", image_size=SIZE)
    assert (ann.track_id, bob.track_id) == ("ann", "bob")
    np.testing.assert_allclose(ann.points, POINTS, atol=1e-3)
    assert np.isnan(bob.points[4]).all()
    np.testing.assert_allclose(bob.points[5:], POINTS[5:] + 5, atol=1e-3)


def test_body_parts_without_a_face_need_the_skeletons_name(tmp_path):
    rows = [line.split(",") for line in deeplabcut().splitlines()]
    (tmp_path / "a.csv").write_text("\n".join(",".join([row[0], *row[16:]]) for row in rows))
    with pytest.raises(KeypointsError, match="names 12 joints"):
        Keypoints.from_file(tmp_path / "a.csv", image_size=SIZE)
    found = Keypoints.from_file(tmp_path / "a.csv", image_size=SIZE, skeleton="coco17")
    np.testing.assert_allclose(found.points[:, 5:], POINTS[:, 5:], atol=1e-3)


def test_animals_of_deeplabcut_are_refused_by_name(tmp_path):
    (tmp_path / "a.csv").write_text(deeplabcut(spell=lambda name: f"{name}_paw"))
    with pytest.raises(KeypointsError, match="DeepLabCut csv, but no skeleton"):
        Keypoints.from_file(tmp_path / "a.csv", image_size=SIZE)


HALPE = {
    "Hip": ("left_hip", "right_hip"),
    "Neck": ("left_shoulder", "right_shoulder"),
    "Head": ("left_eye", "right_eye"),
    "Nose": ("nose",),
    **{
        f"{side[0].upper()}{joint.title()}": (f"{side}_{joint}",)
        for side in ("left", "right")
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    },
}


def trc(units="px", first=0, markers=HALPE, rate="30.0"):
    lines = [
        ["PathFileType", "4", "(X/Y/Z)", "clip_px_person00.trc"],
        ["DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate"],
        [rate, rate, str(FRAMES), str(len(markers)), units, rate],
        ["Frame#", "Time", *[cell for name in markers for cell in (name, "", "")]],
        ["", "", *[f"{a}{n + 1}" for n in range(len(markers)) for a in "XYZ"]],
    ]
    for number in range(FRAMES):
        row = [str(first + number), str(number / 30)]
        for sources in markers.values():
            x, y = POINTS[number, [NAMES.index(name) for name in sources]].mean(axis=0)
            row += [str(x), str(y), "0.0"]
        lines.append(row)
    return "\n".join("\t".join(line) for line in lines) + "\n"


@pytest.mark.parametrize("first", [0, 1, 250])
def test_markers_of_sports2d_are_read(tmp_path, first):
    (tmp_path / "a.trc").write_text(trc(first=first))
    found = Keypoints.from_file(tmp_path / "a.trc", "trc", image_size=SIZE)
    assert (len(found), found.skeleton, found.fps) == (FRAMES, "halpe26", 30.0)
    joints = skeleton_format("halpe26").joints
    for name, place in (("left_knee", 13), ("right_wrist", 10), ("nose", 0)):
        np.testing.assert_allclose(
            found.points[:, joints.index(name)], POINTS[:, place], atol=1e-3, err_msg=name
        )
    np.testing.assert_allclose(
        found.points[:, joints.index("hip")], POINTS[:, 11:13].mean(axis=1), atol=1e-3
    )
    assert np.isnan(found.points[:, joints.index("left_eye")]).all()


def test_markers_in_meters_are_refused(tmp_path):
    (tmp_path / "a.trc").write_text(trc(units="m"))
    with pytest.raises(KeypointsError, match="units are 'm', not px") as caught:
        Keypoints.from_file(tmp_path / "a.trc", image_size=SIZE)
    assert "_px_" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "PathFileType\n",
        trc(rate="fast"),
        trc().replace("\t0.0\n", "\tx\n", 1),
        trc(markers={"STRN": ("nose",)}),
        trc(markers={}),
        "scorer,a,a\n",
        "scorer,a,a\nbodyparts,nose,nose\ncoords,x,z\n0,1,2\n",
        deeplabcut() + "x,1,2\n",
        deeplabcut().replace("\n3,", "\nthree,", 1),
    ],
    ids=range(9),
)
def test_broken_tables_are_refused(tmp_path, text):
    (tmp_path / "a").write_text(text)
    with pytest.raises(KeypointsError):
        Keypoints.from_file(tmp_path / "a", image_size=SIZE)


def test_rows_without_a_track_and_frames_without_a_row(tmp_path):
    ids = {0: "-1", 1: "", 2: "nan"}
    text = table(lead=lambda n: [ids.get(n, "3.0"), str(n / 30)])
    header, *rows = text.splitlines()
    header = header.replace(",frame", "track_id,timestamp,frame", 1)
    path = tmp_path / "a.csv"
    path.write_text("\n".join([header, *rows[:8], *rows[10:]]))
    found = Keypoints.from_file(path, image_size=SIZE)
    assert (found.track_id, len(found)) == (3, FRAMES)
    np.testing.assert_allclose(found.timestamps, np.arange(FRAMES) / 30, atol=1e-9)
    assert np.isnan(found.points[[0, 1, 2, 8, 9]]).all()


def rows_of(frames, names, chance, delimiter):
    """A table with empty cells, and cells that only Python reads as numbers."""
    joints = skeleton_format("coco17").joints
    columns = [f"{joint}_{part}" for joint in joints for part in ("x", "y", "score")]
    lines = [["track_id", "frame", *columns, "fps", "timestamp"]]
    for frame in frames:
        for name in names:
            cells = [f"{value:.3f}" for value in chance.uniform(1.0, 400.0, len(columns))]
            for odd in ("", " ", "nan", "-inf", "1_0", "1e-3"):
                if chance.random() < 0.3:
                    cells[chance.integers(len(cells))] = odd
            if delimiter == ";":
                cells = [cell.replace(".", ",") for cell in cells]
            lines.append([name, str(frame), *cells, "25", str(frame / 25)])
    return lines


@pytest.mark.parametrize(("delimiter", "end"), [(",", "\n"), (";", "\r\n"), ("\t", "\n")])
@pytest.mark.parametrize(
    ("frames", "names"),
    [(range(3, 40), [""]), (range(0, 60, 2), ["7"]), (range(20), ["1.0", "anna"]), ([0, 30], [""])],
)
def test_blocks_of_rows_are_read_as_single_cells_are(
    tmp_path, monkeypatch, delimiter, end, frames, names
):
    """Quotes have each cell looked at on its own."""
    monkeypatch.setattr(csv_table, "_BLOCK", 4)
    lines = rows_of(frames, names, np.random.default_rng(len(names)), delimiter)
    found = []
    for quote in ("", '"'):
        text = end.join(delimiter.join(f"{quote}{c}{quote}" for c in row) for row in lines)
        (tmp_path / "a.csv").write_text(text + end, newline="")
        found.append(read_frames(tmp_path / "a.csv", image_size=SIZE))
    plain, quoted = found
    assert (plain.fps, plain.frames, plain.notes) == (25.0, quoted.frames, quoted.notes)
    np.testing.assert_array_equal(plain.timestamps, quoted.timestamps)
    for one, other in zip(plain.detections, quoted.detections, strict=True):
        assert (one.frame, one.track_id) == (other.frame, other.track_id)
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.scores, other.scores)


def test_a_wrong_cell_is_named_in_any_block(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_table, "_BLOCK", 4)
    for number in (2, 5, 6, 9):
        lines = table().splitlines()
        lines[number - 1] += "x"
        (tmp_path / "a.csv").write_text("\n".join(lines))
        with pytest.raises(KeypointsError, match=f"line {number}, column '.*_score': .*x' is no n"):
            read_frames(tmp_path / "a.csv", image_size=SIZE)
