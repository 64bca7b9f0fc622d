"""From 2D keypoint sequences to 3D poses: the engine that a robot's program embeds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from hot_sdk import windows as windowing
from hot_sdk._base.closing import Closing
from hot_sdk._base.disk_arrays import Scratch
from hot_sdk.camera_knowledge import Up, checked_knowledge
from hot_sdk.cameras import Intrinsics
from hot_sdk.engines import Session, SessionOptions, open_session
from hot_sdk.errors import EngineError, UsageError
from hot_sdk.inference import LiftedClip, WindowRunner, lift_prepared_clips
from hot_sdk.keypoints import Keypoints
from hot_sdk.latency import LatencyRecorder, LatencyReport
from hot_sdk.manifest import RANDOM_WEIGHTS_WARNING, Manifest
from hot_sdk.model_check import check_against_graph
from hot_sdk.preprocessing import PreparedClip, prepare_clip
from hot_sdk.preprocessing.normalization import BOUNDING_BOX
from hot_sdk.preprocessing.policies import (
    MAX_GAP_FRAMES,
    TIME_TO_LIVE_S,
    AppliedPolicy,
    InputPolicies,
)
from hot_sdk.results.result import CAMERA_AXES, METERS, Pose3DResult
from hot_sdk.results.told import ClipCamera, no_place, told_clip
from hot_sdk.skeletons import H36M17
from hot_sdk.starter import STARTER, resolve_model

# Streams, live networks, and what places people, are imported where they are used: they take longer
# to import than a first pose to lift.
if TYPE_CHECKING:
    from hot_sdk.live.clip import SteppedClip
    from hot_sdk.live.runner import StepRunner
    from hot_sdk.root.placement import CameraSource
    from hot_sdk.root.scale import Floor
    from hot_sdk.streams import Pose3DStream, StreamPose


class Pose3DEngine(Closing):
    """A loaded lifter: 2D keypoints in, 3D poses out.

    It may be used from several threads at once. It is a context manager; ``close`` frees the
    model. A process that was forked after the model was loaded cannot use it, and gets an error.

    Args:
        model: A file written by ``hot-export``, or its bytes; ``starter`` or None for the model
            that ships.
        engine: Name of the inference engine, one of ``hot_sdk.engines.list_engines()``; or
            ``auto`` for the fastest of those that run the model here, by trial; None for the one
            that opens the file's format: ``onnxruntime``, or ``torch`` for safetensors.
        device: ``cpu``, ``cuda`` or ``cuda:N``, ``gpu`` or ``gpu:N`` (Intel's), ``npu``; used or
            refused, never replaced by another.
        threads: CPU threads of the engine; None for the engine's choice.
        cache_dir: Folder for what the engine builds from the file, and for the choice of ``auto``.
        fast_math: Allow the engine to compute in a narrower type where that is faster; see
            ``hot_sdk.engines.SessionOptions``.
        provider: An execution provider of ONNX Runtime by name; None for the device's own.
        largest_batch: Most windows in one run of a file with an open batch; TensorRT reserves
            memory for so many. None for the engine's choice.
        policies: How incomplete or unusual keypoints are handled.
        windows: How clips are cut, one of ``hot_sdk.windows.MODES``; None for overlapping windows
            that are blended, or for the center of a window about each frame if the network
            returns only that.
        overlap: Frames that neighboring windows share; None for the mode's own.
        flip: Average with the mirror image, which doubles the work; a file that does so itself
            always does, and once.

    Raises:
        UsageError: An argument is unknown or out of range, or the model does not support it.
        ManifestError: The file is not from hot-export, or from a newer version.
        EngineError: The file, the engine or the device is refused.
        MissingDependencyError: The engine's library is not installed.
    """

    def __init__(
        self,
        model: str | Path | bytes | None = None,
        *,
        engine: str | None = None,
        device: str = "cpu",
        threads: int | None = None,
        cache_dir: Path | None = None,
        fast_math: bool = False,
        provider: str | None = None,
        largest_batch: int | None = None,
        policies: InputPolicies | None = None,
        windows: str | None = None,
        overlap: int | None = None,
        flip: bool = False,
    ) -> None:
        if not isinstance(model, bytes):
            model = resolve_model(STARTER if model is None else model)
        options = SessionOptions(
            device=device,
            threads=threads,
            cache_dir=cache_dir,
            fast_math=fast_math,
            provider=provider,
            largest_batch=largest_batch,
        )
        if windows is not None:
            windowing.check_mode(windows)
        self.policies = policies if policies is not None else InputPolicies()
        self.model_name = "model" if isinstance(model, bytes) else model.name
        self._session: Session | None = open_session(model, options, engine=engine)
        self.manifest = Manifest.from_metadata(self._session.metadata)
        check_against_graph(self._session.file or model, self.manifest)
        self._runner = _runner(self._session, self.manifest, flip, windows, overlap)
        self._mode = self._window_mode(windows)
        self._overlap = overlap
        self._recorder = LatencyRecorder("clip")
        self._counting = threading.Lock()
        self._windows = self._frames = 0
        # So that a bad overlap is reported here rather than with the first clip.
        windowing.plan(1, self.manifest.frames, self._mode, overlap=overlap)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of any pose of this model has to know."""
        return (RANDOM_WEIGHTS_WARNING,) if self.manifest.weights.random else ()

    def __call__(
        self,
        keypoints: Keypoints,
        *,
        intrinsics: Intrinsics | None = None,
        up: Up | None = None,
        height_m: float | None = None,
        camera: ClipCamera | None = None,
        ground: float | Floor | None = None,
        depth: ArrayLike | None = None,
        root: str = "pelvis",
        bones: Mapping[str, float] | None = None,
        frame_id: str | None = None,
        smoothing: bool = False,
        contacts: bool = False,
    ) -> Pose3DResult:
        """Lift one person's clip, and find where the person is if the camera is known.

        Args:
            keypoints: Keypoints in any format of ``list_skeletons()``, of any length and frame
                rate.
            intrinsics: The camera's; None for those of the keypoints. With them, and a model that
                returns meters, the result has a root, velocities and covariances.
            up: The direction away from the ground, as in ``Keypoints``; None for theirs, or what
                the camera's place says.
            height_m: The person's standing height, meters; None for that of the keypoints.
            camera: See ``Pose3DResult.placed``, as the next six.
            ground: Height of the camera above the floor, meters; or the floor.
            depth: A depth camera's readings or images.
            root: The joint that poses are relative to.
            bones: Known lengths of bones.
            frame_id: Name of the frame.
            smoothing: Smooth the joints over time.
            contacts: Judge which feet stand, and keep these where they are.

        Returns:
            Poses of every frame, in meters along the camera's axes, or those of the frame that
            ``camera`` says; relative to the pelvis, unless another root is asked for.

        Raises:
            UsageError: The argument is not ``Keypoints``, a value cannot be what it should be, or
                one is given that needs the intrinsics, or a model that returns meters.
            KeypointsError: No frame has a keypoint, or the clip is too long.
            EngineError: The engine failed or is closed.
        """
        asked: dict[str, Any] = {
            "camera": camera,
            "ground": ground,
            "depth": depth,
            "root": None if root == "pelvis" else root,
            "bones": bones,
            "frame_id": frame_id,
            "smoothing": smoothing or None,
            "contacts": contacts or None,
        }
        asked = {name: value for name, value in asked.items() if value is not None}
        _require_keypoints(keypoints)
        fps = self.manifest.training_fps
        told = told_clip(keypoints, intrinsics, up, height_m, camera, fps)
        lifted, clip = self._lift([told], None, None)
        result = lifted[0]
        if told.camera is None or result.unit != METERS:
            if asked or intrinsics is not None:
                raise no_place(asked, told, result.unit)
            return result
        score = self.policies.min_score
        return result.placed(told, seen=clip[0].seen, min_score=score, **asked)

    def lift(
        self,
        people: Sequence[Keypoints],
        *,
        progress: Callable[[int, int], None] | None = None,
        scratch: Path | None = None,
    ) -> tuple[Pose3DResult, ...]:
        """Lift the clips of several people, their windows together if the model's batch allows.

        Args:
            people: One clip each; they may differ in everything.
            progress: Called after each run of the engine with the windows lifted and their total.
            scratch: A folder for the poses of long clips, which then take no memory: 204 bytes for
                each frame, and as many with a spread, in files without names that end with the
                results. None keeps them in memory.

        Returns:
            One result each, in the same order; their latency is that of the whole call.

        Raises:
            UsageError: One of them is not ``Keypoints``, or the folder has no room.
            KeypointsError: One of them has no keypoint in any frame, or is too long.
            EngineError: The engine failed or is closed.
        """
        for one in people:
            _require_keypoints(one)
        return self._lift(people, progress, None if scratch is None else Scratch(scratch))[0]

    def _lift(
        self,
        people: Sequence[Keypoints],
        progress: Callable[[int, int], None] | None,
        scratch: Scratch | None,
    ) -> tuple[tuple[Pose3DResult, ...], Sequence[PreparedClip | SteppedClip]]:
        session = self._open_session()
        manifest = self.manifest
        recorder = LatencyRecorder("clip", within=self._recorder)
        with recorder.timed("total"):
            clips: list[PreparedClip | SteppedClip]
            if isinstance(self._runner, WindowRunner):
                prepared, lifted, records = self._lift_windows(
                    people, self._runner, recorder, progress, scratch
                )
                clips = [*prepared]
            else:
                from hot_sdk.live.clip import lift_clips_by_step

                stepped = lift_clips_by_step(
                    people, self._runner, self.policies, recorder, progress, scratch
                )
                lifted = [LiftedClip(one.poses, one.spread, None) for one in stepped]
                clips = [*stepped]
                records = [_step_record(one, manifest) for one in stepped]
        windows = sum(record.count for record in records)
        frames = sum(len(keypoints) for keypoints in people)
        with self._counting:
            self._windows += windows
            self._frames += frames
        report = self._report(session, recorder, windows, frames)
        results = tuple(
            Pose3DResult(
                poses=found.poses,
                valid=clip.valid,
                unit=manifest.unit,
                axes=CAMERA_AXES,
                root=None,
                root_error=None,
                timestamps=clip.timestamps,
                track_id=keypoints.track_id,
                policies=(*clip.applied, record),
                seams=found.seams,
                latency=report,
                model=self.model_name,
                warnings=(
                    *self.warnings,
                    *clip.warnings,
                    *_joints_warning(manifest, keypoints.skeleton),
                ),
                first_frame=keypoints.first_frame,
                spread=found.spread,
            )
            for keypoints, clip, record, found in zip(people, clips, records, lifted, strict=True)
        )
        return results, clips

    def _lift_windows(
        self,
        people: Sequence[Keypoints],
        runner: WindowRunner,
        recorder: LatencyRecorder,
        progress: Callable[[int, int], None] | None,
        scratch: Scratch | None,
    ) -> tuple[list[PreparedClip], list[LiftedClip], list[AppliedPolicy]]:
        manifest = self.manifest
        clips = []
        for keypoints in people:
            with recorder.timed("preparation"):
                clip = prepare_clip(
                    keypoints,
                    runner.input_spec,
                    self.policies,
                    frames=manifest.frames,
                    training_fps=manifest.training_fps,
                    conditions=manifest.conditions,
                )
            clips.append(clip)
        plans = [
            windowing.plan(len(clip.inputs), manifest.frames, self._mode, overlap=self._overlap)
            for clip in clips
        ]
        lifted = lift_prepared_clips(clips, plans, runner, recorder, progress, scratch)
        return clips, lifted, [_window_record(plan) for plan in plans]

    def latency(self) -> LatencyReport:
        """Report on all clips that this engine has lifted; a result's own covers its call only.

        Raises:
            EngineError: The engine is closed.
        """
        session = self._open_session()
        with self._counting:
            windows, frames = self._windows, self._frames
        return self._report(session, self._recorder, windows, frames)

    def stream(
        self,
        mode: str = "live",
        *,
        lookahead: int | None = None,
        hop: int = 1,
        max_people: int = 4,
        fps: float | None = None,
        skeleton: str | None = None,
        image_size: tuple[int, int] | None = None,
        time_to_live_s: float = TIME_TO_LIVE_S,
        max_gap_frames: int = MAX_GAP_FRAMES,
        callback: Callable[[StreamPose], None] | None = None,
        intrinsics: Intrinsics | None = None,
        up: Up | None = None,
        height_m: float | None = None,
        camera: CameraSource | None = None,
        ground: float | Floor | None = None,
        root: str = "pelvis",
        bones: Mapping[str, float] | None = None,
        frame_id: str | None = None,
        smoothing: bool | None = None,
        contacts: bool = False,
    ) -> Pose3DStream:
        """Open a stream: keypoints are pushed frame by frame, poses come as they become final.

        A pose is final ``lookahead`` frames after its own, when the window that ends there has
        been lifted; a window is lifted every ``hop`` frames of a person. Its delay is therefore
        ``lookahead / fps`` plus computing. A larger lookahead is more accurate, as the network
        then sees what comes after; a larger hop costs less per frame, and poses come in bursts.

        Args:
            mode: ``live``: the engine runs in a thread of its own and no push waits for it; if it
                falls behind, it processes the newest frames and counts those it drops.
                ``video``: each push runs what is due, and nothing is dropped.
            lookahead: Frames that a pose waits for; None for none, or for those that a live
                network's file was exported with; it has no other.
            hop: Frames between runs of the engine; 1 of a live network.
            max_people: Maximum number of people followed at once; more are counted, not lifted.
            fps: Frames per second; None to measure it for as long as the stream runs, and to assume
                the model's own until it is known. Frames that come at once, from a queue, are
                taken as a usual interval apart.
            skeleton: Skeleton of pushed arrays; ``Keypoints`` name their own.
            image_size: Width and height in pixels, for pushed arrays.
            time_to_live_s: Seconds after which a person who is not seen is forgotten.
            max_gap_frames: Frames after which a person who is seen again starts from scratch.
            callback: Receives each pose, in live mode in the engine's thread; the pushes then
                return none.
            intrinsics: The camera's, for pushed arrays, and ``Keypoints`` without ``camera``. With
                them, and a model that returns meters, poses say where people are.
            up: The direction away from the ground along the camera's axes, (3,), or a
                ``CameraPose``; for a camera that does not turn. ``Keypoints`` may each bring their
                own, and a person who is not seen meanwhile has the last one.
            height_m: Height of everyone whose ``Keypoints`` do not say it, meters.
            camera: Where the camera is, at rest or at each time in seconds, in the frame that
                people are placed in, whose z axis points up; it gives ``up``, too. None to place
                them along the camera's axes, or to push it with each frame.
            ground: Height of the camera above the floor, meters, in the first frame; or a
                ``hot_sdk.root.Floor`` in the frame. Feet on it show how large a person is.
            root: The joint that poses are relative to: ``pelvis``; ``thorax``; or ``auto``, the
                thorax while the hips are not seen.
            bones: Known lengths of everyone's bones, meters, by the joint where each ends.
            frame_id: Name of the frame; None for ``base_link`` with a camera's place, and
                ``camera_optical_frame`` without.
            smoothing: Return poses as a Kalman filter of the joints has them, without most of their
                jitter, and hardly later; the lookahead's frames count. None for live streams of
                models that return meters.
            contacts: Judge which feet stand, and keep these where they are; needs ``ground``.

        Raises:
            UsageError: A value is out of range, the window does not reach so far, or the model
                needs the box about a whole clip.
            EngineError: The engine is closed.
        """
        from hot_sdk.root.placement import Placement
        from hot_sdk.streams import Pose3DStream, StreamOptions

        metric = self.manifest.unit == METERS
        if smoothing and not metric:
            raise UsageError(
                f"smoothing needs meters, and the model returns '{self.manifest.unit}'.",
                hint="Leave it out, or use a model that returns meters.",
            )
        if lookahead is None:
            lookahead = 0 if self.manifest.step is None else self.manifest.step.lookahead
        if contacts and ground is None:
            raise UsageError(
                "contacts is given, and nothing says where the floor is.",
                hint="Give ground=, the height of the camera above it.",
            )
        options = StreamOptions(
            mode=mode,
            lookahead=lookahead,
            hop=hop,
            max_people=max_people,
            time_to_live_s=time_to_live_s,
            max_gap_frames=max_gap_frames,
            fps=fps,
            skeleton=skeleton,
            image_size=image_size,
            knowledge=checked_knowledge(intrinsics, up, height_m, frames=None),
            placement=Placement(
                camera=camera,
                ground=ground,
                root=root,
                bones=bones or {},
                frame_id=frame_id,
                contacts=contacts,
                smoothing=metric and mode == "live" if smoothing is None else bool(smoothing),
            ),
        )
        if self._runner.input_spec.normalization == BOUNDING_BOX:
            raise UsageError(
                "The model is fed with keypoints in the box about a whole clip, which a stream does"
                " not know before its end.",
                hint="Lift whole clips, or export the model with --normalization image_short_side.",
            )
        session = self._open_session()
        return Pose3DStream(self._runner, session, options, self.policies, callback)

    def close(self) -> None:
        """Free the model; closing twice is allowed. Streams of this engine fail from then on."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _report(
        self, session: Session, recorder: LatencyRecorder, windows: int, frames: int
    ) -> LatencyReport:
        first = self._runner.first_inference_s
        return recorder.report(session, first_inference_s=first, windows=windows, frames=frames)

    def _open_session(self) -> Session:
        session = self._session
        if session is None:
            raise EngineError("The engine is closed.", hint="Load the model again.")
        return session

    def _window_mode(self, requested: str | None) -> str:
        if not self._runner.center_only:
            return windowing.OVERLAP if requested is None else requested
        if requested not in (None, windowing.MHFORMER_CENTER):
            raise UsageError(
                f"The model returns only the center frame of a window, which the windows"
                f" '{requested}' do not use.",
                hint=f"Leave out the windows, or give '{windowing.MHFORMER_CENTER}'.",
            )
        return windowing.MHFORMER_CENTER


def _require_keypoints(value: object) -> None:
    if not isinstance(value, Keypoints):
        raise UsageError(
            f"Poses are lifted from Keypoints, not from '{type(value).__name__}'.",
            hint="From an array: Keypoints(points, skeleton=..., image_size=...); from a"
            " file: Keypoints.from_file(path).",
        )


def _joints_warning(manifest: Manifest, skeleton: str) -> tuple[str, ...]:
    """Return what to say about keypoints that are not annotated as those of the training."""
    trained = manifest.joints.skeleton
    if trained in (H36M17.name, skeleton):
        return ()
    return (
        f"The network was trained with the joints of '{trained}', whose neck, head and head top lie"
        f" a little away from what was derived from '{skeleton}'.",
    )


def _runner(
    session: Session, manifest: Manifest, flip: bool, windows: str | None, overlap: int | None
) -> WindowRunner | StepRunner:
    if manifest.step is None:
        return WindowRunner(session, manifest, flip=flip)
    if windows is not None or overlap is not None:
        raise UsageError(
            "The model takes one frame after the other, and no windows.",
            hint="Leave out windows and overlap.",
        )
    from hot_sdk.live.runner import StepRunner

    return StepRunner(session, manifest, flip=flip)


def _step_record(clip: SteppedClip, manifest: Manifest) -> AppliedPolicy:
    step = manifest.step
    assert step is not None
    memory = f"{step.recent} frames" + (
        f" and {step.anchors} more, every {step.stride}th" if step.anchors else ""
    )
    detail = f"one after the other, with a memory of {memory}"
    detail += f" and a lookahead of {step.lookahead}"
    return AppliedPolicy("frames", detail, clip.steps, len(clip.poses), "frames")


def _window_record(plan: windowing.Plan) -> AppliedPolicy:
    frames = "one frame" if plan.length == 1 else f"{plan.length} frames"
    detail = f"'{plan.mode}', {frames} each"
    if plan.overlap:
        detail += f", blended over {plan.overlap}"
    return AppliedPolicy("windows", detail, len(plan.windows), len(plan.windows), "windows")
