"""Map the top-level folders onto one import namespace, ``hot_sdk``."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def packages_of(folder: str) -> dict[str, str]:
    """Return the import names below a top-level folder, each with its directory."""
    top = folder if folder == "hot_sdk" else f"hot_sdk.{folder}"
    names = find_packages(str(ROOT / folder))
    inner = {f"{top}.{name}": f"{folder}/{name.replace('.', '/')}" for name in names}
    return {top: folder, **inner}


package_dir = {
    name: directory
    for folder in ("hot_sdk", "engines", "export", "benchmarks")
    for name, directory in packages_of(folder).items()
}
setup(
    packages=list(package_dir),
    package_dir=package_dir,
    package_data={"": ["py.typed", "data/*", "data/*/*"]},
    include_package_data=False,  # MANIFEST.in is about the sdist, which holds more than the wheel.
)
