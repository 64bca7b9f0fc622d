"""What killed runs leave behind is cleared by the next run: only ours, and only after a day."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from hot_sdk._base import leftovers
from hot_sdk._base.files import replaced_on_success
from hot_sdk._base.leftovers import keep_folder, temporary_folder, temporary_name
from hot_sdk.engines.cache import new_entry

DAYS_AGO = time.time() - 3 * 24 * 3600


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    """Folders are cleared once in a process."""
    monkeypatch.setattr(leftovers, "_cleared", set())


def age(path):
    os.utime(path, (DAYS_AGO, DAYS_AGO), follow_symlinks=False)
    return path


def killed(code, folder):
    """Run code in a process that is killed in the middle."""
    program = f"import os, signal, sys\n{code}\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    child = subprocess.run([sys.executable, "-c", program], cwd=folder, check=False)
    assert child.returncode == -signal.SIGKILL


def write(folder):
    with replaced_on_success(folder / "result.json") as temporary:
        temporary.write_text("{}")


def test_file_of_a_killed_run_is_cleared_after_a_day(tmp_path):
    killed(
        "from pathlib import Path\nfrom hot_sdk._base.files import replaced_on_success\n"
        "with replaced_on_success(Path('result.json')):",
        tmp_path,
    )
    (left,) = tmp_path.iterdir()
    write(tmp_path)
    assert left.exists()
    age(left)
    leftovers._cleared.clear()
    write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_folder_of_a_killed_run_is_cleared_after_a_day(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    killed(
        "from hot_sdk._base.leftovers import temporary_folder\n"
        "with temporary_folder('hot-benchmark') as f:\n    (f / 'model.onnx').write_bytes(b'x')",
        tmp_path,
    )
    (left,) = tmp_path.iterdir()
    with temporary_folder("hot-benchmark") as folder:
        assert folder.parent == tmp_path
        assert left.is_dir()
    for path in (left / ".hot-sdk-temporary", left):
        age(path)
    with temporary_folder("hot-infer"):
        assert left.is_dir()
    with temporary_folder("hot-benchmark") as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert not list(tmp_path.iterdir())


def test_folder_of_a_killed_build_is_cleared_from_its_cache(tmp_path):
    entry = tmp_path / "model.0123456789abcdef.plan"
    killed(
        "from pathlib import Path\nfrom hot_sdk.engines.cache import new_entry\n"
        f"with new_entry(Path({str(entry)!r})) as temporary:\n    temporary.write_bytes(b'x')",
        tmp_path,
    )
    (left,) = tmp_path.iterdir()
    for path in (left / ".hot-sdk-temporary", left):
        age(path)
    with new_entry(entry) as temporary:
        assert not left.exists()
        temporary.write_bytes(b"whole")
    assert list(tmp_path.iterdir()) == [entry]


def test_what_is_not_ours_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / ".hot-sdk-temporary").touch()
    (precious / "thesis").write_text("years of work")
    kept = [
        tmp_path / "hot-benchmark-results",
        tmp_path / temporary_name().replace(".tmp", ".txt"),
        tmp_path / ".0123456789abcdef.tmp",
        tmp_path / "notes.tmp",
    ]
    kept[0].mkdir()
    for path in kept[1:]:
        path.write_text("mine")
    link, file_link = tmp_path / "hot-benchmark-abcdefgh", tmp_path / temporary_name()
    link.symlink_to(precious)
    file_link.symlink_to(precious / "thesis")
    folder_named_so = tmp_path / temporary_name()
    folder_named_so.mkdir()
    kept += [link, file_link, folder_named_so, precious / ".hot-sdk-temporary", precious]
    for path in kept:
        age(path)
    write(tmp_path)
    with temporary_folder("hot-benchmark"):
        pass
    assert all(os.path.lexists(path) for path in kept)
    assert (precious / "thesis").read_text() == "years of work"


def test_link_within_a_folder_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    left = tmp_path / "hot-benchmark-abcdefgh"
    left.mkdir()
    (left / "link").symlink_to(outside)
    (left / ".hot-sdk-temporary").touch()
    for path in (left / ".hot-sdk-temporary", left):
        age(path)
    with temporary_folder("hot-benchmark"):
        assert not left.exists()
    assert (outside / "kept").exists()


def test_folder_that_is_kept_is_no_leftover(tmp_path):
    with temporary_folder("hot-benchmark", tmp_path) as used:
        for path in (used / ".hot-sdk-temporary", used):
            age(path)
        keep_folder(used)
        with temporary_folder("hot-benchmark", tmp_path):
            assert used.exists()


def test_folder_that_cannot_be_listed_is_no_error():
    leftovers.clear_old_files(Path("absent"))
