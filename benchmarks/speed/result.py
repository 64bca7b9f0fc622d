"""All about one configuration, as the record of ``hot-benchmark`` holds it.

The names of classes are free; those of fields are the format of the JSON file.
"""

from __future__ import annotations

from dataclasses import dataclass

from hot_sdk.benchmarks.speed.profilers import Profile
from hot_sdk.benchmarks.speed.profilers.onnxruntime import Product
from hot_sdk.benchmarks.speed.series import Interval, Steadiness
from hot_sdk.latency import Statistics


@dataclass(frozen=True)
class Subject:
    """The configuration that a result is about.

    Attributes:
        name: Short name, unique in the record.
        model: Name of the model's file, or of the baseline.
        sha256: Digest of the file; None for a baseline.
        file_bytes: Size of the file; None for a baseline.
        family: Model family.
        variant: ``plain``, ``hot`` or ``tpc``.
        ratio: Fraction of frames kept.
        tokens: Frames kept; None without pruning.
        frames: Frames of a window.
        batch: Windows in one call.
        precision: Precision of the model.
        engine: Name of the engine.
        engine_version: Version of the engine.
        device: Device in use.
        threads: Requested CPU threads; None left it to the engine.
        random_weights: The weights are untrained: accuracy means nothing.
    """

    name: str
    model: str
    sha256: str | None
    file_bytes: int | None
    family: str
    variant: str | None
    ratio: float
    tokens: int | None
    frames: int
    batch: int
    precision: str
    engine: str
    engine_version: str
    device: str
    threads: int | None
    random_weights: bool


@dataclass(frozen=True)
class Start:
    """How a configuration starts, in milliseconds; once, in its own process.

    Attributes:
        startup_ms: From the start of the process to the first poses, imports included.
        load_ms: From the file to a ready session.
        build_ms: The same when the engine had to build first; None if it had not.
        first_inference_ms: The first run of the engine.
    """

    startup_ms: float
    load_ms: float
    build_ms: float | None
    first_inference_ms: float


@dataclass(frozen=True)
class Memory:
    """Resident memory of the configuration's process, in MiB; None if the system does not say.

    Attributes:
        base_mib: Before the model was loaded.
        loaded_mib: After its first run.
        peak_mib: The most of all, windows and streams included, ceilings excluded.
        gpu_mib: Memory on the GPU; None without one, or if the driver does not say.
    """

    base_mib: float | None
    loaded_mib: float | None
    peak_mib: float | None
    gpu_mib: float | None


@dataclass(frozen=True)
class Cost:
    """What one window costs.

    Attributes:
        parameters: Number of parameters.
        papers_flops: Operations as the papers count: twice the multiply-accumulates of linear
            layers.
        products_flops: Operations of all matrix multiplications of the published network.
        executed_flops: Operations of all matrix multiplications in the file.
        weight_bytes: Constants that its matrix multiplications read, in float32; None if the graph
            was not read, as are the next two.
        moved_bytes: What its kernels read and write, in float32.
        kernels: Number of kernels, element-wise operators joined to what comes before them.
    """

    parameters: int
    papers_flops: int
    products_flops: int
    executed_flops: int
    weight_bytes: int | None
    moved_bytes: int | None
    kernels: int | None


@dataclass(frozen=True)
class Measure:
    """One thing that was measured many times.

    Attributes:
        name: ``window``: one call of the lifter, from keypoints to poses. ``engine``: the engine's
            part of it. ``stream``: all pushes for one run of the engine, which are ``hop`` frames.
            ``push``: each push by itself. ``quiet_push``: those that ran no engine. ``start``: a
            program from its start to the first poses. ``command``: ``hot-infer`` on a short clip,
            from its start to its end.
        windows: Windows in each sample; 0 for pushes.
        frames: Frames in each sample.
        statistics: Milliseconds of a sample, in the steady state; no sample of it is dropped.
        steadiness: Where the steady state begins, and whether it lasts.
        quantiles_ms: 0 %, 1 %, … 100 %.
        rounds_ms: Median of each counted turn; of neighboring turns in a long run.
    """

    name: str
    windows: int
    frames: int
    statistics: Statistics
    steadiness: Steadiness
    quantiles_ms: tuple[float, ...]
    rounds_ms: tuple[float, ...]


@dataclass(frozen=True)
class Stream:
    """A stream of one person.

    Attributes:
        hop: Frames between runs of the engine.
        lookahead: Later frames that a pose waits for.
        lookahead_ms: How long that is at the model's frame rate.
        people: People in each frame.
        fps: The model's frame rate, frames per second.
        live: The network remembers what it saw: a run for each new frame, and no window.
    """

    hop: int
    lookahead: int
    lookahead_ms: float
    people: int
    fps: float
    live: bool


@dataclass(frozen=True)
class Stage:
    """A part of what was measured.

    Attributes:
        of: ``window``, ``stream`` or ``start``.
        name: Name of the part.
        statistics: Milliseconds, of all runs, those of the warm-up included.
    """

    of: str
    name: str
    statistics: Statistics


@dataclass(frozen=True)
class FormRate:
    """Rate of the largest matrix multiplication in one form.

    Attributes:
        form: ``fp32``, ``fp16``, ``int8`` or ``int8-dynamic``; see ``worker.products``.
        flops_per_s: Its rate through the model's engine; median.
        best_flops_per_s: Its best run.
    """

    form: str
    flops_per_s: float
    best_flops_per_s: float


@dataclass(frozen=True)
class ShapeTime:
    """A matrix multiplication of the model by itself, in its fastest form.

    Attributes:
        product: The multiplication, and how often the model has it.
        form: Its form.
        ms: Milliseconds of one; median.
    """

    product: Product
    form: str
    ms: float


@dataclass(frozen=True)
class Ceiling:
    """What the machine can do at most, measured in the same run.

    Attributes:
        product_shape: Rows, length of the sums and columns of the model's largest matrix
            multiplication.
        product_form: The form in which the engine runs it fastest; None without one.
        product_flops_per_s: Its rate in that form through the same engine; median.
        best_flops_per_s: Its best run.
        forms: Its rate in every form.
        shapes: Each multiplication of the model by itself.
        shapes_ms: All of them, each as often as the model has it; median over the rounds.
        copy_bytes_per_s: What a memory copy reads and writes; median.
        achieved_flops_per_s: Rate of the model in the engine, in the same rounds.
        share_of_product: The model's rate over that of the largest multiplication; None in records
            of schema 1, as is the next.
        share_of_shapes: The time of all multiplications by themselves over that of the model: what
            is left is what the model does beside them.
        explanations: Why a share is above 1, for each that is.
        problems: What could not be measured, and why.
    """

    product_shape: tuple[int, int, int] | None
    product_form: str | None
    product_flops_per_s: float | None
    best_flops_per_s: float | None
    forms: tuple[FormRate, ...]
    shapes: tuple[ShapeTime, ...]
    shapes_ms: float | None
    copy_bytes_per_s: float | None
    achieved_flops_per_s: float | None
    share_of_product: Interval | None
    share_of_shapes: Interval | None
    explanations: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Energy:
    """Energy while a configuration ran, of everything that the rail feeds.

    Attributes:
        mean_w: Mean power.
        idle_w: Mean power before anything ran.
        j_per_frame: Energy for each frame of a window.
        j_per_new_frame: Energy for each new frame of a stream; None without one.
    """

    mean_w: float
    idle_w: float | None
    j_per_frame: float
    j_per_new_frame: float | None


@dataclass(frozen=True)
class Accuracy:
    """How accurate a configuration is on a data set.

    Attributes:
        data: Name of the data set.
        frames: Frames that were scored.
        mpjpe_mm: Mean distance of the joints.
        p_mpjpe_mm: The same after alignment.
        mpjve_mm_per_frame: Mean error of the joints' velocity.
    """

    data: str
    frames: int
    mpjpe_mm: float
    p_mpjpe_mm: float
    mpjve_mm_per_frame: float


@dataclass(frozen=True)
class Projection:
    """A roofline bound for a board: it cannot be faster than this. Nothing is measured.

    Attributes:
        board: Key in the table of boards.
        title: Name of the board.
        precision: Arithmetic that the bound is for.
        bound_ms: Least time of one window by the board's peak figures.
        derated_ms: Least time with the shares of the peaks that others have measured, and a launch
            for each kernel.
        frames_per_s: Most frames a second by ``bound_ms``.
        derated_frames_per_s: Most frames a second by ``derated_ms``.
        limited_by: ``compute`` or ``memory``: what limits ``bound_ms``.
        is_this_machine: The board is the machine that measured.
    """

    board: str
    title: str
    precision: str
    bound_ms: float
    derated_ms: float
    frames_per_s: float
    derated_frames_per_s: float
    limited_by: str
    is_this_machine: bool


@dataclass(frozen=True)
class Ratio:
    """How much faster a configuration is than the reference, in the same rounds.

    Attributes:
        measure: ``engine``, ``window`` or ``stream``.
        reference: Name of the configuration that is compared with.
        speed_up: The reference's time over this one's, per window or per frame.
        flops_ratio: The reference's operations over this one's; None if they are not known.
        efficiency: Speed-up over ``flops_ratio``: 1 if all that is saved is gained.
    """

    measure: str
    reference: str
    speed_up: Interval
    flops_ratio: float | None
    efficiency: float | None


@dataclass(frozen=True)
class Result:
    """All about one configuration.

    ``accuracy`` is that of whole clips, ``stream_accuracy`` that of a stream of its hop and
    lookahead.
    """

    subject: Subject
    start: Start
    memory: Memory
    cost: Cost | None
    stream: Stream | None
    measures: tuple[Measure, ...]
    stages: tuple[Stage, ...]
    ratios: tuple[Ratio, ...]
    ceiling: Ceiling | None
    energy: Energy | None
    accuracy: Accuracy | None
    stream_accuracy: Accuracy | None
    profile: Profile | None
    projections: tuple[Projection, ...]

    def measure(self, name: str) -> Measure | None:
        """Return a measure by name; None if it was not taken."""
        return next((one for one in self.measures if one.name == name), None)
