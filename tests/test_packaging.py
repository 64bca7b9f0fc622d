"""The wheel contains what users run, and the sdist what packagers and readers need."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "hot_sdk": "hot_sdk",
    "engines": "hot_sdk/engines",
    "export": "hot_sdk/export",
    "benchmarks": "hot_sdk/benchmarks",
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the files that git tracks, so that building leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode != 0:
        pytest.skip("the tests do not run in a git checkout")
    for name in listed.stdout.rstrip("\0").split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def build(checkout, kind):
    pytest.importorskip("setuptools")
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}('dist'))"
    built = subprocess.run(
        [sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    return checkout / "dist" / built.stdout.splitlines()[-1]


def test_wheel_has_every_module_and_data_file_but_the_studies(checkout):
    with zipfile.ZipFile(build(checkout, "wheel")) as wheel:
        names = set(wheel.namelist())
    expected = {
        f"{target}/{path.relative_to(checkout / folder).as_posix()}"
        for folder, target in FOLDERS.items()
        for path in (checkout / folder).rglob("*")
        if path.suffix == ".py" or "data" in path.relative_to(checkout).parts
        if path.is_file() and "studies" not in path.parts
    }
    packaged = {name for name in names if ".dist-info/" not in name}
    assert expected - packaged == set()
    assert packaged - expected == {"hot_sdk/py.typed"}
    assert len(expected) > 200


def test_sdist_has_the_docs_and_examples(checkout):
    with tarfile.open(build(checkout, "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "CHANGELOG.md",
        "LICENSE",
        "MODEL_CARD.md",
        "NOTICE",
        "README.md",
        "docs/benchmarks.md",
        "docs/reference/lifting.md",
        "examples/robot_loop.py",
        "examples/pictures/jump_3d.png",
        "hot_sdk/py.typed",
        "hot_sdk/data/starter/starter.onnx",
        "setup.py",
        "tests/conftest.py",
    } <= names
