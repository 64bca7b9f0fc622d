from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from hot_sdk._base.files import (
    open_input,
    read_input,
    replaced_on_success,
    require_writable_target,
    sha256_of,
)
from hot_sdk.benchmarks.speed.record import read_record
from hot_sdk.errors import EngineError, ResultError, UsageError
from hot_sdk.manifest import read_manifest
from hot_sdk.results.result import Pose3DResult

NOBODY = 65534
NAMES = ["model.onnx", "my best model.onnx", " ", "-o", "'quoted\" $name'", "\u00e9t\u00e9.onnx"]
LONGEST_NAME = 255


@contextmanager
def without_root_rights():
    """Root may do anything, so its tests of permissions run as somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        assert os.umask(before) == mask


@pytest.fixture
def folder():
    """A folder that other users reach too, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
        path.chmod(0o755)


def refusal(target):
    with pytest.raises(UsageError) as caught:
        require_writable_target(target)
    assert str(target) in caught.value.message or str(target.parent) in caught.value.message
    return caught.value


@pytest.mark.parametrize("name", NAMES)
def test_result_appears_whole(tmp_path, name):
    target = tmp_path / name
    require_writable_target(target)
    with replaced_on_success(target) as temporary:
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes() == b"new"


def test_folder_may_have_spaces(tmp_path):
    target = tmp_path / "a folder" / "a model.onnx"
    target.parent.mkdir()
    with replaced_on_success(target) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"


def test_name_may_be_as_long_as_the_system_allows(tmp_path):
    target = tmp_path / ("n" * LONGEST_NAME)
    require_writable_target(target)
    with replaced_on_success(target) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"


def test_name_may_be_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = Path("model.onnx")
    require_writable_target(target)
    with replaced_on_success(target) as temporary:
        temporary.write_bytes(b"new")
    assert (tmp_path / "model.onnx").read_bytes() == b"new"


def test_old_file_stays_until_the_new_one_is_whole(tmp_path):
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    require_writable_target(target)
    with replaced_on_success(target) as temporary:
        temporary.write_bytes(b"half")
        assert target.read_bytes() == b"old"
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("reason", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [b"old", None])
def test_failure_changes_nothing(tmp_path, reason, old):
    target = tmp_path / "my model.onnx"
    if old is not None:
        target.write_bytes(old)

    def fail():
        with replaced_on_success(target) as temporary:
            temporary.write_bytes(b"half")
            raise reason("stop")

    with pytest.raises(reason, match="stop"):
        fail()
    assert list(tmp_path.iterdir()) == ([] if old is None else [target])
    assert old is None or target.read_bytes() == old


def test_failed_rename_leaves_no_temporary_file(tmp_path):
    target = tmp_path / "model.onnx"

    def write():
        with replaced_on_success(target) as temporary:
            temporary.write_bytes(b"new")
            target.mkdir()

    with pytest.raises(UsageError, match=r"model\.onnx' cannot be written: Is a directory"):
        write()
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("size", [10, 100_000])
def test_full_disk_is_an_error_about_the_file(tmp_path, size):
    """A limit of the process's own files stands for a full disk."""
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from hot_sdk._base.files import replaced_on_success\n"
        "from hot_sdk.errors import UsageError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    with replaced_on_success(Path('a.bin')) as temporary:\n"
        "        temporary.write_bytes(bytes(int(sys.argv[1])))\n"
        "except UsageError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(size)], capture_output=True, text=True, check=True
    )
    is_full = size > 1000
    assert run.stdout.startswith("'a.bin' cannot be written: File too large.") is is_full
    assert [path.name for path in tmp_path.iterdir()] == ([] if is_full else ["a.bin"])


@pytest.mark.parametrize("folder", ["/proc", "/sys"])
def test_folders_of_the_kernel_are_not_writable(folder):
    if not Path(folder).is_dir():
        pytest.skip("this system has no such folder")
    with pytest.raises(UsageError, match=f"The folder '{folder}' is not writable"):
        require_writable_target(Path(folder) / "model.onnx")
    with (
        pytest.raises(UsageError, match="cannot be written"),
        replaced_on_success(Path(folder) / "model.onnx"),
    ):
        pass


def test_body_that_removes_its_file_fails(tmp_path):
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), replaced_on_success(target) as temporary:
        temporary.unlink()
    assert target.read_bytes() == b"old"


def test_two_writers_do_not_share_a_temporary_file(tmp_path):
    target = tmp_path / "model.onnx"
    with replaced_on_success(target) as first, replaced_on_success(target) as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    # The inner block ends first, so the outer one has the last word.
    assert target.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_result_is_as_readable_as_any_new_file(tmp_path, mask, mode):
    target = tmp_path / "model.onnx"
    with umask(mask), replaced_on_success(target) as temporary:
        temporary.write_bytes(b"new")
    assert stat.S_IMODE(target.stat().st_mode) == mode


def test_umask_of_other_threads_is_never_touched(tmp_path, monkeypatch):
    # The mask belongs to the process: reading it means setting it, also for the other threads.
    def refuse(mask):
        raise AssertionError(f"umask({mask:o}) was called")

    monkeypatch.setattr(os, "umask", refuse)
    with replaced_on_success(tmp_path / "model.onnx") as temporary:
        temporary.write_bytes(b"new")


def test_checking_changes_nothing(tmp_path):
    require_writable_target(tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_rejects_a_folder_as_target(tmp_path):
    assert refusal(tmp_path).message == f"'{tmp_path}' is a folder."


@pytest.mark.parametrize("name", ["missing", "it's a folder; echo no"])
def test_rejects_a_missing_folder_with_the_command_that_makes_it(tmp_path, name):
    target = tmp_path / name / "deep" / "model.onnx"
    error = refusal(target)
    assert error.message == f"The folder '{target.parent}' does not exist."
    command = re.fullmatch(r"Run: (mkdir -p .*)", error.hint)
    subprocess.run(["/bin/sh", "-c", command[1]], check=True)
    require_writable_target(target)


def test_rejects_a_file_as_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert "Not a directory" in refusal(tmp_path / "file" / "model.onnx").message


def test_rejects_an_impossible_name(tmp_path):
    assert "File name too long" in refusal(tmp_path / ("n" * (LONGEST_NAME + 1))).message


def test_rejects_a_link_to_itself(tmp_path):
    target = tmp_path / "model.onnx"
    target.symlink_to(target)
    assert "symbolic links" in refusal(target).message


def test_dangling_link_is_replaced(tmp_path):
    target = tmp_path / "model.onnx"
    target.symlink_to(tmp_path / "nowhere")
    require_writable_target(target)
    with replaced_on_success(target) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert not target.is_symlink()


def test_devices_and_pipes_are_not_replaced(tmp_path):
    # As root, a rename onto /dev/null would break the machine.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for target in (pipe, Path(os.devnull)):
        assert refusal(target).message == f"'{target}' is a device or a pipe."


@pytest.mark.parametrize("mode", [0o555, 0o666])
def test_rejects_a_folder_without_write_permission(folder, mode):
    folder.chmod(mode)
    with without_root_rights():
        error = refusal(folder / "model.onnx")
    assert isinstance(error, UsageError)


def test_rejects_an_unreachable_folder(folder):
    (folder / "private" / "inner").mkdir(parents=True)
    (folder / "private").chmod(0)
    with without_root_rights():
        error = refusal(folder / "private" / "inner" / "model.onnx")
    (folder / "private").chmod(0o755)
    assert "Permission denied" in error.message


@pytest.mark.parametrize("size", [0, 3, 1 << 20, (1 << 20) + 1])
def test_sha256_is_that_of_the_content(tmp_path, size):
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    path = tmp_path / "my file"
    path.write_bytes(content)
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/zero")):
        with pytest.raises(OSError, match="no regular file"):
            open_input(path)
    with pytest.raises(IsADirectoryError):
        open_input(tmp_path)
    (tmp_path / "file").write_bytes(b"12345")
    assert read_input(tmp_path / "file", 5) == b"12345"
    with pytest.raises(ValueError, match="over the limit of 4"):
        read_input(tmp_path / "file", 4)


def test_pipes_in_place_of_models_and_records_do_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(EngineError, match="no model file"):
        read_manifest(tmp_path / "pipe.onnx")
    with pytest.raises(ResultError, match="no regular file"):
        read_record(tmp_path / "pipe.onnx")
    with pytest.raises(ResultError, match="no regular file"):
        Pose3DResult.load(tmp_path / "pipe.onnx")
