"""A package of another author that ships an entry point, as pip would have installed it."""

import sys


def ship_package(folder, monkeypatch, package, group, entry, module, source):
    """Write a module and its distribution's metadata, and search the folder for modules first."""
    metadata = folder / f"{package.replace('-', '_')}-7.1.dist-info"
    metadata.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: {package}\nVersion: 7.1\n"
    (metadata / "METADATA").write_text(text)
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
    (folder / f"{module}.py").write_text(source)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
