"""Files by which a Jetson is known."""

from __future__ import annotations

RELEASE_FILE = "/etc/nv_tegra_release"
"""States the release of Jetson Linux."""

MEMORY_NODE = "/dev/nvmap"
"""The driver of the memory that CPU and GPU share. Containers with the GPU have it, and neither of
the other two unless they are given them: Docker hides the device tree."""

BOARD_FILE = "/proc/device-tree/model"
"""The board's model, followed by a zero; other machines with a device tree have it, too."""
