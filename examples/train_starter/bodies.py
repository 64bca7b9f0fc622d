"""Give motion capture the bodies of other people, and what a detector marks of them.

Lengths are drawn from measurements of 6,064 adults (ANSUR II, 2010–12; ``bodies.json`` has the
derivation of each). They are set along each bone's direction, so that the skeleton of the motion
capture no longer matters. Random numbers are drawn on torch's default device.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

STATISTICS = Path(__file__).with_name("bodies.json")
LEGS = ((1, 2, 3), (4, 5, 6))
"""Hip, knee and ankle."""
ARMS = ((14, 15, 16), (11, 12, 13))
"""Shoulder, elbow and wrist, right and left as the legs."""
PELVIS, SPINE, THORAX, NOSE, HEAD = 0, 7, 8, 9, 10

_ABOVE_SHOULDERS = 0.096
"""Distance of the thorax above the shoulders' middle over that of this middle above the pelvis."""
_SPINE_SHARE = 0.5
"""Length from pelvis to spine over that from pelvis to thorax."""
_EVERYBODY_SD_LOG = 0.03
"""Spread of sizes beyond that of the people measured, who were soldiers."""
_MOST_STRAIGHTER = 12.0
_MARKED_STATURE = 1.69
"""Stature of the bodies on which marks and joints were compared, meters."""
_MARKED_WIDTHS = {"hip": 0.200, "shoulder": 0.329}
"""Distance of a detector's marks at that stature, mean of men and women."""
_DERIVED = 0.5
"""Share of clips whose spine is only the middle between pelvis and thorax, as detectors give it."""


class Bodies:
    """Lengths of people, to be drawn from.

    Args:
        file: The statistics; see ``bodies.json``.
    """

    def __init__(self, file: Path = STATISTICS) -> None:
        record = json.loads(file.read_text(encoding="utf-8"))
        device = torch.get_default_device()
        self.names = list(record["names"])
        sexes = [record["male"], record["female"]]
        self.mean = torch.tensor([sex["mean_log"] for sex in sexes], device=device)
        covariance = torch.tensor([sex["cov_log"] for sex in sexes], dtype=torch.float64)
        # Some lengths are derived from the same measurement, so that the matrix has no full rank.
        steady = covariance + 1e-8 * torch.eye(len(self.names), dtype=torch.float64, device="cpu")
        self.factor = torch.linalg.cholesky(steady.cpu()).float().to(device)
        convention = [record["convention_sd_log"][name] for name in self.names]
        self.convention = torch.tensor(convention, device=device)

    def draw(self, batch: int) -> dict[str, Tensor]:
        """Draw lengths in meters, each (batch,)."""
        drawn = self._lengths(3 * batch)
        torso = drawn["pelvis_spine"] / (_SPINE_SHARE * (1.0 + _ABOVE_SHOULDERS))
        usual = _between(drawn["shoulder_width"] / torso, 0.52, 0.90)
        usual &= _between(drawn["thigh"] / drawn["shin"], 0.82, 1.22)
        usual &= _between(drawn["hip_width"] / torso, 0.28, 0.56)
        # Unusual ones last, and so left out: well over a third is usual.
        order = torch.argsort((~usual).to(torch.uint8), stable=True)[:batch]
        return {name: values[order] for name, values in drawn.items()} | {"torso": torso[order]}

    def _lengths(self, count: int) -> dict[str, Tensor]:
        sex = torch.randint(2, (count,))
        normal = torch.randn(count, len(self.names), 1)
        log = self.mean[sex] + (self.factor[sex] @ normal)[..., 0]
        log = log + self.convention * torch.randn(count, len(self.names))
        log = log + _EVERYBODY_SD_LOG * torch.randn(count, 1)
        return dict(zip(self.names, (log.exp() / 1000.0).unbind(1), strict=True))


def _between(values: Tensor, low: float, high: float) -> Tensor:
    return (values > low) & (values < high)


def set_lengths(world: Tensor, lengths: dict[str, Tensor]) -> Tensor:
    """Give clips (batch, frames, 17, 3) other bodies, each bone in its direction."""
    to = {name: values[:, None, None] for name, values in lengths.items()}
    pelvis = world[:, :, PELVIS]
    moved = torch.zeros_like(world)
    moved[:, :, PELVIS] = pelvis
    across_hips = _unit(world[:, :, LEGS[1][0]] - world[:, :, LEGS[0][0]])
    across = _unit(world[:, :, ARMS[1][0]] - world[:, :, ARMS[0][0]])
    shoulders = (world[:, :, ARMS[0][0]] + world[:, :, ARMS[1][0]]) / 2.0
    trunk = shoulders - pelvis
    height = trunk.norm(dim=2, keepdim=True).clamp(min=1e-6)
    middle = pelvis + trunk * (to["torso"] / height)
    moved[:, :, SPINE] = pelvis + (world[:, :, SPINE] - pelvis) * (to["torso"] / height)
    moved[:, :, THORAX] = middle + _ABOVE_SHOULDERS * (middle - pelvis)
    for joint, name in ((NOSE, "thorax_nose"), (HEAD, "thorax_head")):
        direction = _unit(world[:, :, joint] - world[:, :, THORAX])
        moved[:, :, joint] = moved[:, :, THORAX] + to[name] * direction
    limbs = (
        (LEGS, across_hips, pelvis, to["hip_width"], to["thigh"], to["shin"]),
        (ARMS, across, middle, to["shoulder_width"], to["upper_arm"], to["forearm"]),
    )
    for chains, line, center, width, upper, lower in limbs:
        for (first, second, third), side in zip(chains, (-0.5, 0.5), strict=True):
            moved[:, :, first] = center + side * width * line
            upwards = _unit(world[:, :, second] - world[:, :, first])
            moved[:, :, second] = moved[:, :, first] + upper * upwards
            onwards = _unit(world[:, :, third] - world[:, :, second])
            moved[:, :, third] = moved[:, :, second] + lower * onwards
    return moved


def mark(world: Tensor, lengths: dict[str, Tensor], offsets: dict[str, Tensor]) -> Tensor:
    """Return what a COCO-style detector marks in place of joints, in full, (batch, frames, 17, 3).

    Args:
        world: Clips, meters, y up.
        lengths: Those of their bodies.
        offsets: Of ``Marks.draw``.
    """
    scale = lengths["stature"][:, None, None] / _MARKED_STATURE
    pelvis, marks = world[:, :, PELVIS], world.clone()
    shoulders = (world[:, :, ARMS[0][0]] + world[:, :, ARMS[1][0]]) / 2.0
    down = _unit(pelvis - shoulders)
    line = _unit(world[:, :, LEGS[1][0]] - world[:, :, LEGS[0][0]])
    ahead = _unit(torch.linalg.cross(line, -down))
    joints = ((LEGS, ("hip", "knee", "ankle")), (ARMS, ("shoulder", "elbow", "wrist")))
    for chains, names in joints:
        for chain, side in zip(chains, (-1.0, 1.0), strict=True):
            along = down
            for place, (joint, name) in enumerate(zip(chain, names, strict=True)):
                if place:
                    along = _unit(world[:, :, joint] - world[:, :, chain[place - 1]])
                distal, out, forward = (scale * part for part in offsets[name].unbind(2))
                if name in _MARKED_WIDTHS:
                    width = lengths[f"{name}_width"][:, None, None]
                    out = (_MARKED_WIDTHS[name] * scale - width) / 2.0
                marks[:, :, joint] += distal * along + side * out * line + forward * ahead
    marks[:, :, PELVIS] = (marks[:, :, LEGS[0][0]] + marks[:, :, LEGS[1][0]]) / 2.0
    middle = (marks[:, :, ARMS[0][0]] + marks[:, :, ARMS[1][0]]) / 2.0
    thorax = middle + _ABOVE_SHOULDERS * (middle - marks[:, :, PELVIS])
    marks[:, :, THORAX] = thorax
    derived = torch.rand(len(world), 1, 1) < _DERIVED
    between = (marks[:, :, PELVIS] + thorax) / 2.0
    marks[:, :, SPINE] = torch.where(derived, between, marks[:, :, SPINE])
    return marks


class Marks:
    """Offsets of a detector's marks from joints, to be drawn from.

    Args:
        file: The statistics; see ``coco_marks`` in ``bodies.json``.
    """

    def __init__(self, file: Path = STATISTICS) -> None:
        record = json.loads(file.read_text(encoding="utf-8"))["coco_marks"]
        device = torch.get_default_device()
        self.means, self.sds = {}, {}
        for name in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"):
            entry = record[name]
            mean = [entry[part] / 1000.0 for part in ("distal", "out", "ahead")]
            self.means[name] = torch.tensor(mean, device=device)
            self.sds[name] = torch.tensor(entry["sd"], device=device) / 1000.0

    def draw(self, batch: int) -> dict[str, Tensor]:
        """Draw offsets along the limb, outwards and ahead for each joint, (batch, 1, 3, 1)."""
        return {
            name: (mean + self.sds[name] * torch.randn(batch, 3))[:, None, :, None]
            for name, mean in self.means.items()
        }


def straighten_legs(world: Tensor) -> Tensor:
    """Bend knees by up to 12° less, each clip by its own angle; (batch, frames, 17, 3).

    Some of the motion capture stands with its knees slightly bent, which a network then predicts
    for every person seen from the front. Bones keep their lengths, and ankles their direction from
    the hips.
    """
    less = torch.deg2rad(_MOST_STRAIGHTER * torch.rand(len(world), 1, 1))
    moved = world.clone()
    for hip, knee, ankle in LEGS:
        start, middle, end = world[:, :, hip], world[:, :, knee], world[:, :, ankle]
        thigh, shin = middle - start, end - middle
        upper, lower = (part.norm(dim=2, keepdim=True).clamp(min=1e-6) for part in (thigh, shin))
        cosine = (thigh * shin).sum(dim=2, keepdim=True) / (upper * lower)
        bend = torch.acos(cosine.clamp(-1.0, 1.0))
        # Small bends become nearly straight, and no knee bends forwards.
        straighter = bend - less * (bend / (bend + 0.3))
        leg = end - start
        ahead = _unit(leg)
        out = thigh - (thigh * ahead).sum(dim=2, keepdim=True) * ahead
        aside = _unit(out)
        square = upper.square() + lower.square() + 2.0 * upper * lower * straighter.cos()
        reach = square.clamp(min=1e-12).sqrt()
        along = upper * (upper + lower * straighter.cos()) / reach
        sideways = upper * lower * straighter.sin() / reach
        moved[:, :, knee] = start + along * ahead + sideways * aside
        moved[:, :, ankle] = start + reach * ahead
    return moved


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-6)
