"""A machine with a GPU that is not there: a CUDA driver made for tests, and real PyCUDA on it.

The driver is ``tests/engines/tensorrt/fake_cuda.c``, TensorRT's stand-in ``fake_tensorrt`` next to
it. PyCUDA is built from its source in the first run, which takes one to two minutes, and kept.
"""

import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from downloads import build_wheel, cache_folder, download, install, made_once, pinned

FAKES = Path(__file__).parents[1] / "engines" / "tensorrt"
HEADERS = "nvidia-cuda-runtime-cu12"

# Of the headers of CUDA that PyCUDA includes, the one that no package on the index has.
PROFILER_HEADER = """
#pragma once
typedef enum { CU_OUT_KEY_VALUE_PAIR, CU_OUT_CSV } CUoutput_mode;
extern "C" {
CUresult cuProfilerInitialize(const char *, const char *, CUoutput_mode);
CUresult cuProfilerStart(void);
CUresult cuProfilerStop(void);
}
"""


def child_environment(driver, pycuda):
    """Variables of a child process that runs on the fake GPU."""
    folders = [pycuda, Path(__file__).parent, FAKES / "fake_tensorrt"]
    return {"LD_LIBRARY_PATH": str(driver), "PYTHONPATH": os.pathsep.join(map(str, folders))}


@pytest.fixture(scope="session")
def fake_driver(tmp_path_factory):
    """The folder of the fake driver's library."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("driver")
    library = folder / "libcuda.so.1"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-Wl,-soname,libcuda.so.1"]
    source = FAKES / "fake_cuda.c"
    subprocess.run([*command, "-o", library, source, "-lpthread"], check=True)
    # The name by which a linker looks for it.
    (folder / "libcuda.so").symlink_to(library)
    return folder


@pytest.fixture(scope="session")
def fake_pycuda(fake_driver, tmp_path_factory):
    """A folder with PyCUDA, built here from its source."""
    if shutil.which("g++") is None:
        pytest.skip("there is no C++ compiler")
    version, headers = pinned("pycuda"), pinned(HEADERS)
    folder = cache_folder(f"pycuda-{version}-cuda-{headers}")
    with made_once(folder) as missing:
        if missing:
            make_pycuda(
                f"pycuda=={version}", f"{HEADERS}=={headers}", fake_driver, folder, tmp_path_factory
            )
    return folder / "site"


def make_pycuda(requirement, headers, driver, folder, tmp_path_factory):
    scratch = tmp_path_factory.mktemp("pycuda")
    with tarfile.open(download(requirement, scratch, source=True)) as archive:
        archive.extractall(scratch, filter="data")
    with zipfile.ZipFile(download(headers, scratch)) as archive:
        archive.extractall(scratch)
    include = scratch / "nvidia" / "cuda_runtime" / "include"
    (include / "cudaProfiler.h").write_text(PROFILER_HEADER)
    source = scratch / requirement.replace("==", "-")
    settings = {
        "USE_SHIPPED_BOOST": True,
        "CUDA_INC_DIR": [str(include)],
        "CUDA_ENABLE_CURAND": False,
        "CUDADRV_LIB_DIR": [str(driver)],
        # Compiling takes half of the time that way, and nothing here is about speed.
        "CXXFLAGS": ["-O0", "-g0", "-w"],
    }
    lines = [f"{name} = {value!r}\n" for name, value in settings.items()]
    (source / "siteconf.py").write_text("".join(lines))
    install(build_wheel(source, scratch / "wheel"), folder / "site")
