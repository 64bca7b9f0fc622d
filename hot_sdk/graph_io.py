"""Names of an exported file's input and outputs."""

KEYPOINTS = "keypoints_2d"
"""Normalised keypoints, (batch, frames, joints, 2 or 3) float32."""

POSES = "poses_3d"
"""Poses, (batch, frames, joints, 3) float32."""

TOKEN_INDEX = "token_index"
"""Kept frames, ascending, (batch, tokens) int64; with flip averaging (batch, 2, tokens), the
window's and its mirror image's. Of a model that prunes in stages, the choices of all stages one
after the other."""
