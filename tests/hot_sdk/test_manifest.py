from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import replace

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from hot_sdk._base.optional import NEWER
from hot_sdk._base.records import MAX_TEXT
from hot_sdk.engines import open_session
from hot_sdk.errors import EngineError, ManifestError
from hot_sdk.manifest import (
    CONDITION_NAMES,
    KEY,
    PRECISION_KEY,
    SCHEMA,
    Flops,
    Joints,
    Manifest,
    Parity,
    PruningStage,
    Quantization,
    Versions,
    Weights,
    read_manifest,
)
from hot_sdk.skeletons import H36M17, MPI_INF_3DHP17
from hot_sdk.starter import starter_model
from hot_sdk.step_graph import StepGraph

AGAIN = "Export the model again with hot-export."

HOT = Manifest(
    schema=SCHEMA,
    family="mixste",
    variant="hot",
    paper="Hourglass Tokenizer, CVPR 2024 \u2014 \u00ab\U0001f57a\u00bb",
    license="MIT",
    frames=243,
    output_frames=243,
    ratio=81 / 243,
    tokens=81,
    stages=(PruningStage(1, 162, "uniform"), PruningStage(3, 81, "tpc")),
    recovery="tra",
    channels=2,
    conditions=("gravity_known", "view_pitch"),
    batch=1,
    flip=True,
    token_index=True,
    spread=True,
    joints=Joints(
        H36M17.name,
        H36M17.joints,
        H36M17.parents,
        tuple(zip(H36M17.left, H36M17.right, strict=True)),
    ),
    normalization="x and y over half the width",
    unit="m",
    axes="camera: x right, y down, z forward",
    root_relative=True,
    training_fps=50.0,
    trained_on=None,
    precision="fp16",
    opset=17,
    parameters=33_653_763,
    weights=Weights(random=False, file='a "model".pth', sha256="0" * 64, resampled_from=27),
    versions=Versions(sdk="0.1.0", torch="2.9.0", onnx="1.17.0"),
    flops=Flops(papers=167_000_000_000, matmuls=180_000_000_000, executed=2**62),
    parity=Parity("onnxruntime 1.17", 14, 3e-6, 1.0e-7, 0.1 + 0.2, 1.0),
    quantization=Quantization(matmuls=60, windows=28, source="clip.json"),
    step=None,
)
PLAIN = replace(
    HOT,
    variant="plain",
    ratio=1.0,
    tokens=None,
    stages=(),
    recovery=None,
    batch=None,
    channels=3,
    conditions=(),
    precision="fp32",
    weights=Weights(random=True, file=None, sha256=None, resampled_from=None),
    parity=replace(HOT.parity, frames_shared=None),
)
TPC = replace(HOT, variant="tpc", output_frames=81, recovery=None)
MPI = replace(
    PLAIN,
    joints=Joints(
        MPI_INF_3DHP17.name,
        MPI_INF_3DHP17.joints,
        MPI_INF_3DHP17.parents,
        tuple(zip(MPI_INF_3DHP17.left, MPI_INF_3DHP17.right, strict=True)),
    ),
    root_relative=False,
    trained_on="mpi-inf-3dhp",
)

LIVE = replace(
    PLAIN,
    variant="live",
    frames=1,
    output_frames=1,
    flip=False,
    token_index=False,
    step=StepGraph(
        lookahead=5, recent=16, anchors=12, stride=5, layers=4, heads=4, width=96, guess=True
    ),
)

names = st.text(st.characters(), max_size=8)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 0, 1, 2, 3, 81, 243, 10**400, 0.5, "hot", "plain", "tpc"])
    | st.floats()
    | names,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=8,
)
thorough = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def as_data(manifest=HOT):
    return json.loads(manifest.to_metadata()[KEY])


def fields_of(data, path=()):
    """The path of each field, at every level."""
    for key, value in data.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from fields_of(value, (*path, key))


FIELDS = list(fields_of(as_data()))
RECORDS = [(), ("joints",), ("weights",), ("versions",), ("flops",), ("parity",)]


def inner(data, path):
    for key in path:
        data = data[key]
    return data


def changed(path, value):
    data = as_data()
    inner(data, path[:-1])[path[-1]] = value
    return data


def write_model(path, metadata):
    """A real model file with these entries in its metadata."""
    poses = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 243, 17, 3])
        for name in ("in", "out")
    ]
    node = helper.make_node("Identity", ["in"], ["out"])
    graph = helper.make_graph([node], "graph", poses[:1], poses[1:])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


def check_refusal(error, hint=AGAIN):
    assert error.hint == hint
    # It is shown on one line of a terminal, for any untrusted file.
    assert str(error).isprintable()
    assert len(str(error)) < 400
    return error.message


@pytest.fixture
def refusal(tmp_path):
    """The error of reading a model file with this text or record as its manifest."""

    def read(manifest, hint=AGAIN):
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        with pytest.raises(ManifestError) as caught:
            read_manifest(write_model(tmp_path / "model.onnx", {KEY: text}))
        message = check_refusal(caught.value, hint)
        broken = "The model file's manifest is broken: "
        return message.removeprefix(broken)

    return read


@pytest.mark.parametrize("manifest", [HOT, PLAIN, TPC, LIVE], ids=lambda manifest: manifest.variant)
def test_round_trip_through_a_model_file(tmp_path, manifest):
    path = write_model(tmp_path / "my model \u00e9.onnx", manifest.to_metadata())
    assert read_manifest(path) == manifest


def as_version_1(manifest):
    """What SDK 0.1.0 wrote before its names became American."""
    data = as_data(manifest)
    for old, new in (
        ("licence", "license"),
        ("normalisation", "normalization"),
        ("quantisation", "quantization"),
    ):
        data[old] = data.pop(new)
    for record in (data["flops"], data["quantisation"]):
        record["products"] = record.pop("matmuls")
    del data["conditions"], data["spread"], data["step"]
    return {**data, "schema": 1, "unit": "normalised_px"}


def test_reads_manifest_of_version_1_with_its_names(tmp_path):
    metadata = {KEY: json.dumps(as_version_1(HOT))}
    found = read_manifest(write_model(tmp_path / "model.onnx", metadata))
    assert found == replace(HOT, unit="normalized_px", conditions=(), spread=False)
    assert as_data(found)["schema"] == SCHEMA


@pytest.mark.parametrize("schema", [1, 2])
def test_reads_files_that_do_not_know_the_training_data(schema):
    data = as_version_1(HOT) if schema == 1 else {**as_data(), "schema": 2}
    del data["root_relative"], data["trained_on"]
    found = Manifest.from_metadata({KEY: json.dumps(data)})
    assert (found.schema, found.root_relative, found.trained_on) == (SCHEMA, True, None)


def test_reads_files_that_know_neither_conditions_nor_spread():
    data = {**as_data(), "schema": 3}
    del data["conditions"], data["spread"]
    found = Manifest.from_metadata({KEY: json.dumps(data)})
    assert found == replace(HOT, conditions=(), spread=False)
    del data["root_relative"]
    with pytest.raises(ManifestError, match="root_relative is missing"):
        Manifest.from_metadata({KEY: json.dumps(data)})


def test_reads_files_that_do_not_know_live_networks():
    data = {**as_data(), "schema": 4}
    del data["step"]
    assert Manifest.from_metadata({KEY: json.dumps(data)}) == HOT
    with pytest.raises(ManifestError, match="step is missing"):
        Manifest.from_metadata({KEY: json.dumps({**data, "schema": 5})})


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [
        (replace(PLAIN, step=LIVE.step), "variant and step disagree"),
        (replace(LIVE, step=None), "variant and step disagree"),
        (replace(LIVE, frames=2, output_frames=2), "variant and step disagree"),
        (replace(LIVE, flip=True), "variant and step disagree"),
    ],
)
def test_only_live_networks_remember(refusal, manifest, problem):
    assert refusal(as_data(manifest)) == f"{problem}."


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"lookahead": 65}, "lookahead is 65, which is outside 0 to 64"),
        ({"layers": 10**9}, "layers is 1000000000, which is outside 1 to 64"),
        ({"heads": 5}, "width 96 cannot be divided among 5 heads"),
        ({"recent": 0}, "it has a memory of 0 recent frames and 12 anchors"),
        ({"anchors": 0}, "it has 0 anchors at a stride of 5"),
        ({"stride": 10**9}, "it has anchors at a stride of 1000000000; at most 4096 is read"),
        ({"recent": 4090}, "it has 4102 slots; at most 4096 are read"),
    ],
)
def test_memory_that_cannot_be(refusal, change, problem):
    step = replace(LIVE.step, **change)
    assert refusal(as_data(replace(LIVE, step=step))) == f"of its memory, {problem}."


def test_condition_of_a_newer_version_is_named(refusal):
    message = refusal(changed(("conditions",), ["gravity_known", "wind"]), NEWER)
    assert message.startswith("The model's network takes 'wind' as a condition, which this SDK")


@pytest.mark.parametrize("name", ["licence", "normalisation", "quantisation"])
def test_rejects_old_and_new_name_together(refusal, name):
    data = {**as_data(), name: as_version_1(HOT)[name]}
    assert refusal(data) == f"'{name}' is unknown."


def test_shipped_model_can_be_told_and_states_its_spread():
    manifest = read_manifest(starter_model())
    assert (manifest.conditions, manifest.spread) == (CONDITION_NAMES, True)
    assert "Apache-2.0" in manifest.license


def test_read_values_have_the_declared_types(tmp_path):
    again = read_manifest(write_model(tmp_path / "model.onnx", HOT.to_metadata()))
    assert repr(again) == repr(HOT)
    assert hash(again) == hash(HOT)


def test_other_entries_of_the_metadata_do_not_matter(tmp_path):
    metadata = {"author": "a stranger", **HOT.to_metadata(), "hot_sdk.other": "{"}
    assert read_manifest(write_model(tmp_path / "model.onnx", metadata)) == HOT


def test_engines_see_the_same_precision(tmp_path):
    assert set(HOT.to_metadata()) == {KEY, PRECISION_KEY}
    with open_session(write_model(tmp_path / "model.onnx", HOT.to_metadata())) as session:
        # The input is float32, so this comes from the metadata.
        assert session.precision == HOT.precision == "fp16"


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_non_finite_numbers_are_not_written(number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(HOT, parity=replace(HOT.parity, max_difference=number)).to_metadata()


@pytest.mark.parametrize("metadata", [{}, {"author": "a stranger", PRECISION_KEY: "fp16"}])
def test_rejects_foreign_model(tmp_path, metadata):
    with pytest.raises(ManifestError) as caught:
        read_manifest(write_model(tmp_path / "model.onnx", metadata))
    message = check_refusal(caught.value, "Make the file with hot-export.")
    assert message == "The model file has no manifest of this SDK."


@pytest.mark.parametrize("others", [as_data(), {"what": "not known yet"}])
def test_rejects_newer_manifest_with_any_content(refusal, others):
    message = refusal({**others, "schema": SCHEMA + 1}, NEWER)
    assert message == (
        f"The model file's manifest has version {SCHEMA + 1}; this SDK reads {SCHEMA}."
    )


def test_version_beyond_all_bounds_gives_a_short_message(refusal):
    message = refusal({**as_data(), "schema": 10**4000})
    assert message == "schema is an integer of 13288 bits, where int was expected."


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is not JSON"),
        ("pickle", "it is not JSON"),
        (json.dumps(as_data())[:-1], "it is not JSON"),
        (json.dumps(as_data()) + "x", "it is not JSON"),
        ("[]", "it is not a JSON object"),
        ('"text"', "it is not a JSON object"),
        ("{}", "axes is missing"),
        (json.dumps(as_data()).ljust(MAX_TEXT + 1), f"it is {MAX_TEXT + 1} characters long"),
        ('{"schema":' * 200_000, "it is "),
        ("[" * 100_000 + "]" * 100_000, "it is not "),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "it is not JSON"),
    ],
)
def test_broken_texts(refusal, text, problem):
    assert refusal(text).startswith(problem)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("path", [("ratio",), ("training_fps",), ("parity", "frames_shared")])
def test_rejects_non_finite_numbers(refusal, path, number):
    text = json.dumps(changed(path, "NUMBER")).replace('"NUMBER"', number)
    shown = str(float(number))
    assert refusal(text) == f"{'.'.join(path)} is {shown}, where float was expected."


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("schema",), "1", "schema is '1', where int was expected."),
        (("schema",), True, "schema is True, where int was expected."),
        (("schema",), 1.0, "schema is 1.0, where int was expected."),
        (("family",), None, "family is None, where str was expected."),
        (("frames",), "243", "frames is '243', where int was expected."),
        (("frames",), 2**80, "frames is an integer of 81 bits, where int was expected."),
        (("training_fps",), 10**400, "training_fps is an integer of 1329 bits, where float was"),
        (("flip",), 1, "flip is 1, where bool was expected."),
        (("batch",), "any", "batch is 'any', where int was expected."),
        (("joints",), [], "joints is not an object."),
        (("joints", "names"), "pelvis", "joints.names is not an array."),
        (("joints", "parents"), [-1, "0"], "joints.parents[1] is '0', where int was expected."),
        (("joints", "flip_pairs"), [[1]], "joints.flip_pairs[0] has 1 items, where 2 were"),
        (("weights", "random"), "no", "weights.random is 'no', where bool was expected."),
        (("versions", "torch"), 2.9, "versions.torch is 2.9, where str was expected."),
        (("paper",), ["\n"] * 9, "paper is an array, where str was expected."),
        (("opset",), "\x1b[2J\n" * 500, r"opset is '\x1b[2J\n\x1b[2J\n"),
    ],
)
def test_wrong_types(refusal, path, value, problem):
    assert refusal(changed(path, value)).startswith(problem)


@pytest.mark.parametrize("path", FIELDS, ids=".".join)
def test_missing_fields(path):
    data = as_data()
    del inner(data, path[:-1])[path[-1]]
    with pytest.raises(ManifestError) as caught:
        Manifest.from_metadata({KEY: json.dumps(data)})
    assert check_refusal(caught.value).endswith(f": {'.'.join(path)} is missing.")


@pytest.mark.parametrize("key", ["new", "", "a\nb", "\x1b[2J", "\ud800", "k" * 10_000])
@pytest.mark.parametrize("record", RECORDS, ids=".".join)
def test_unknown_fields(record, key):
    data = changed((*record, key), 1)
    with pytest.raises(ManifestError) as caught:
        Manifest.from_metadata({KEY: json.dumps(data)})
    shown = "".join(f"{part}." for part in record) + repr(key)[:80]
    assert check_refusal(caught.value).endswith(f": {shown} is unknown.")


def test_unknown_field_in_a_model_file(refusal):
    assert refusal(changed(("parity", "x\ty"), 1)) == r"parity.'x\ty' is unknown."


def with_joints(**changes):
    return replace(HOT, joints=replace(HOT.joints, **changes))


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [
        (replace(HOT, schema=0), "schema is 0"),
        (replace(PLAIN, frames=0, output_frames=0), "it has no frames or no joints"),
        (with_joints(names=(), parents=(), flip_pairs=()), "it has no frames or no joints"),
        (replace(HOT, channels=4), "channels is 4"),
        (replace(HOT, conditions=("height",) * 2), "it names a condition twice"),
        (replace(HOT, batch=0), "batch is 0"),
        (replace(HOT, training_fps=0.5), "training_fps is 0.5"),
        (replace(HOT, training_fps=1e308), "training_fps is 1e+308"),
        (replace(HOT, ratio=0.0), "ratio is 0.0"),
        (replace(HOT, ratio=1.5), "ratio is 1.5"),
        (replace(HOT, ratio=0.5), "ratio and tokens disagree"),
        (replace(PLAIN, ratio=0.5), "ratio and tokens disagree"),
        (replace(HOT, tokens=1), "tokens is 1"),
        (replace(HOT, tokens=243), "tokens is 243"),
        (replace(HOT, variant="pruned"), "variant is none of plain, live, hot, tpc"),
        (replace(HOT, variant="plain"), "variant and tokens disagree"),
        (replace(PLAIN, variant="hot"), "variant and tokens disagree"),
        (replace(HOT, stages=()), "stages and tokens disagree"),
        (replace(PLAIN, stages=HOT.stages), "stages and tokens disagree"),
        (replace(HOT, stages=HOT.stages[:1]), "stages and tokens disagree"),
        (replace(HOT, stages=HOT.stages[::-1]), "stages and tokens disagree"),
        (replace(HOT, stages=(PruningStage(0, 81, "tpc"),)), "stages and tokens disagree"),
        (replace(HOT, recovery=None), "variant and recovery disagree"),
        (replace(TPC, recovery="tra"), "variant and recovery disagree"),
        (replace(HOT, output_frames=81), "output_frames is 81"),
        (replace(TPC, output_frames=243), "output_frames is 243"),
        (with_joints(parents=H36M17.parents[:-1]), "parents and joint names differ in number"),
        (with_joints(parents=(0, *H36M17.parents[1:])), "parents do not form a tree"),
        (with_joints(parents=(-1, -1, *H36M17.parents[2:])), "parents do not form a tree"),
        (with_joints(parents=(-1, 2, *H36M17.parents[2:])), "parents do not form a tree"),
        (with_joints(parents=(-1, 17, *H36M17.parents[2:])), "parents do not form a tree"),
        (with_joints(parents=(-2, *H36M17.parents[1:])), "parents do not form a tree"),
        (with_joints(flip_pairs=((1, 17),)), "flip_pairs do not pair joints"),
        (with_joints(flip_pairs=((1, -1),)), "flip_pairs do not pair joints"),
        (with_joints(flip_pairs=((1, 1),)), "flip_pairs do not pair joints"),
        (with_joints(flip_pairs=((1, 4), (4, 2))), "flip_pairs do not pair joints"),
    ],
)
def test_contradictions(refusal, manifest, problem):
    assert manifest.contradiction() == problem
    assert refusal(as_data(manifest)) == f"{problem}."


@pytest.mark.parametrize("manifest", [HOT, PLAIN, TPC, MPI, LIVE])
def test_good_manifests_have_no_contradiction(manifest):
    assert manifest.contradiction() is None
    assert Manifest.from_metadata(manifest.to_metadata()) == manifest
    assert manifest.joints.names[manifest.joints.root] == "pelvis"


def test_rejects_missing_files_and_other_files(tmp_path):
    text = tmp_path / "text.onnx"
    text.write_text(json.dumps(as_data()))
    for path in (tmp_path / "absent.onnx", tmp_path, text):
        with pytest.raises(EngineError):
            read_manifest(path)


def read_or_refuse(text):
    """Read any text: the result is a consistent manifest or one error."""
    try:
        manifest = Manifest.from_metadata({KEY: text})
    except ManifestError as error:
        check_refusal(error, error.hint)
        return
    assert manifest.contradiction() is None
    assert Manifest.from_metadata(manifest.to_metadata()) == manifest


@thorough
@given(st.text() | st.text('{}[]",:0123456789.eE-+', max_size=30))
def test_any_text(text):
    read_or_refuse(text)


@thorough
@given(json_values)
def test_any_json(value):
    read_or_refuse(json.dumps(value))


@thorough
@given(st.lists(st.tuples(st.sampled_from(FIELDS), json_values), min_size=1, max_size=3))
def test_any_json_in_any_field(changes):
    data = as_data()
    for path, value in changes:
        record = inner(data, path[:-1]) if path[0] in data else data
        if isinstance(record, dict):
            record[path[-1]] = value
    read_or_refuse(json.dumps(data))


def well_typed(kind):
    """Any values of the declared types, contradictions among them."""
    small = st.integers(-2, 20)
    by_name = {
        "int": small,
        "int | None": st.none() | small,
        "str": st.sampled_from(["plain", "hot", "tpc", "live"]),
        "str | None": st.sampled_from([None, "tpc"]),
        "float": st.floats(-1, 2) | st.floats(allow_nan=False, allow_infinity=False),
        "float | None": st.none() | st.floats(0, 1),
        "bool": st.booleans(),
        "tuple[str, ...]": st.lists(st.just("j"), max_size=3).map(tuple),
        "tuple[int, ...]": st.lists(small, max_size=3).map(tuple),
        "tuple[tuple[int, int], ...]": st.lists(st.tuples(small, small), max_size=2).map(tuple),
        "Quantization | None": st.none()
        | st.builds(Quantization, small, small, st.sampled_from([None, "clips"])),
        "StepGraph | None": st.none()
        | st.builds(StepGraph, small, small, small, small, small, small, small, st.booleans()),
        "tuple[PruningStage, ...]": st.lists(
            st.builds(PruningStage, small, small, st.sampled_from(["tpc", "motion"])), max_size=2
        ).map(tuple),
    }
    records = {r.__name__: r for r in (Joints, Weights, Versions, Flops, Parity)}
    return st.builds(
        kind,
        **{
            field.name: by_name[field.type]
            if field.type in by_name
            else well_typed(records[field.type])
            for field in dataclasses.fields(kind)
        },
    )


@thorough
@given(well_typed(Manifest))
def test_any_well_typed_manifest(manifest):
    text = manifest.to_metadata()[KEY]
    if manifest.contradiction() is None:
        assert Manifest.from_metadata({KEY: text}) == manifest
    else:
        read_or_refuse(text)
        with pytest.raises(ManifestError):
            Manifest.from_metadata({KEY: text})
