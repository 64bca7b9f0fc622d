"""Maps the fixed top-level folders onto one import namespace, ``hot_sdk``."""

from setuptools import setup

setup(
    packages=[
        "hot_sdk",
        "hot_sdk.archive",
        "hot_sdk.benchmarks",
        "hot_sdk.benchmarks.evaluation",
        "hot_sdk.benchmarks.power",
        "hot_sdk.benchmarks.roofline",
        "hot_sdk.benchmarks.speed",
        "hot_sdk.benchmarks.starter_val",
        "hot_sdk.doctor",
        "hot_sdk.drawing",
        "hot_sdk.engines",
        "hot_sdk.export",
        "hot_sdk.export.models",
        "hot_sdk.export.precision",
        "hot_sdk.infer",
        "hot_sdk.preparation",
        "hot_sdk.readers",
        "hot_sdk.streams",
        "hot_sdk.video",
        "hot_sdk.windows",
    ],
    package_dir={
        "hot_sdk": "hot_sdk",
        "hot_sdk.benchmarks": "benchmarks",
        "hot_sdk.benchmarks.evaluation": "benchmarks/evaluation",
        "hot_sdk.benchmarks.power": "benchmarks/power",
        "hot_sdk.benchmarks.roofline": "benchmarks/roofline",
        "hot_sdk.benchmarks.speed": "benchmarks/speed",
        # Data alone, which the tests share; it is found where it lies once it is installed.
        "hot_sdk.benchmarks.starter_val": "tests/data/starter_val",
        "hot_sdk.engines": "engines",
        "hot_sdk.export": "export",
        "hot_sdk.export.models": "export/models",
        "hot_sdk.export.precision": "export/precision",
    },
    package_data={
        "hot_sdk": ["py.typed", "data/skeletons/*", "data/starter/*"],
        "hot_sdk.benchmarks.evaluation": ["data/*"],
        "hot_sdk.benchmarks.roofline": ["data/*"],
        "hot_sdk.benchmarks.starter_val": ["*"],
        "hot_sdk.doctor": ["data/*"],
        "hot_sdk.export": ["data/*"],
    },
)
