"""Compare the names of TensorRT that our code uses with a real binding; run in a child process.

Prints a JSON object: the binding's version, what was found to be used, and what of it is missing.
"""

import ast
import importlib
import inspect
import json
import re
import sys
from pathlib import Path

import tensorrt_bindings as trt

sys.modules["tensorrt"] = trt

import hot_sdk.engines  # noqa: E402
from hot_sdk.engines.tensorrt import bindings  # noqa: E402
from hot_sdk.engines.tensorrt.bindings import (  # noqa: E402
    create_log,
    create_monitor,
    import_tensorrt,
)
from hot_sdk.engines.tensorrt.execution import _DTYPES  # noqa: E402

# Methods of our own in classes that derive from the binding's.
OWN = {"last_errors"}


def sources():
    engines = Path(hot_sdk.engines.__file__).parent
    yield from sorted((engines / "tensorrt").rglob("*.py"))
    yield Path(importlib.import_module("hot_sdk.doctor.probe").__file__)


def chain(node):
    """The dotted name of an attribute that begins with ``trt``; None for any other expression."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name) and node.id == "trt" and names:
        return ".".join(reversed(names))
    return None


def find(dotted):
    value = trt
    for name in dotted.split("."):
        value = getattr(value, name)
    return value


def signatures(function):
    """Names of the arguments of each overload, as pybind11 writes them into the docstring."""
    lines = (function.__doc__ or "").splitlines()
    written = [line for line in lines if re.match(rf"(\d+\. )?{function.__name__}\(", line)]
    return [
        [name for name in re.findall(r"[(,] ?(\w+): ", line) if name != "self"] for line in written
    ]


def takes(function, names):
    return any(found[: len(names)] == names for found in signatures(function))


def check_module_names(used, missing):
    """Every ``trt.A.B`` in our code, and the number of arguments of what is called so."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = chain(node)
            if name is not None:
                used.add(name)
                try:
                    find(name)
                except AttributeError:
                    missing.append(f"{name}, in {path.name}")
            if isinstance(node, ast.Call) and (name := chain(node.func)) and "." not in name:
                constructor = find(name).__init__
                if not any(len(found) >= len(node.args) for found in signatures(constructor)):
                    missing.append(f"{name} of {len(node.args)} arguments, in {path.name}")
            if isinstance(node, ast.ClassDef):
                for base in filter(None, map(chain, node.bases)):
                    check_overrides(node, find(base), missing)


def check_overrides(written, base, missing):
    for method in written.body:
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
            if method.name in OWN:
                continue
            names = [argument.arg for argument in method.args.args[1:]]
            if not takes(getattr(base, method.name), names):
                missing.append(f"{base.__name__}.{method.name}({', '.join(names)})")


def check_protocols(used, missing):
    """Every member that the protocols declare, which mypy keeps our code to."""
    for name, protocol in vars(bindings).items():
        if not (inspect.isclass(protocol) and protocol.__module__ == bindings.__name__):
            continue
        real = getattr(trt, name, None)
        for member in inspect.get_annotations(protocol):
            used.add(f"{name}.{member}")
            if not hasattr(real, member):
                missing.append(f"{name}.{member}")
        for member, function in vars(protocol).items():
            if member.startswith("_") or not inspect.isfunction(function):
                continue
            used.add(f"{name}.{member}")
            names = list(inspect.signature(function).parameters)[1:]
            if not (hasattr(real, member) and takes(getattr(real, member), names)):
                missing.append(f"{name}.{member}({', '.join(names)})")


def main():
    used, missing = set(), []
    check_module_names(used, missing)
    check_protocols(used, missing)
    missing += [f"DataType.{name}" for name in _DTYPES if not hasattr(trt.DataType, name)]
    # Deriving from the binding's classes fails if their constructor is not called.
    log, monitor = create_log(import_tensorrt()), create_monitor(trt, lambda: False)
    log.log(trt.ILogger.Severity.ERROR, "one\ntwo")
    monitor.phase_start("build", None, 2)
    answers = [log.last_errors(), log.last_errors(), monitor.step_complete("build", 0)]
    controls = [takes(trt.OnnxParser.parse, names) for names in (["model", "path"], ["file"])]
    # Also what a removed flag looks like, so that a test can see the check find one.
    absent = [name for name in sys.argv[1:] if not hasattr(trt.BuilderFlag, name)]
    record = {"version": trt.__version__, "used": sorted(used), "missing": missing}
    record |= {"answers": answers, "absent": absent, "controls": controls}
    sys.stdout.write(json.dumps(record))


main()
