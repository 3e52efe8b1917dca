"""Derived channels: the tool pose that a controller computes from the joints it reads."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor

Part = Literal['position', 'rotation', 'velocity', 'rate']
"""Parts of a tool's reading: 3, 6, 3 and 3 channels."""


@dataclass(frozen=True)
class ToolChain:
    """Kinematics of a serial chain on one device, see `lipfault.modality.SerialChain`.

    Args:
        joints: Denavit-Hartenberg row (d, a, alpha, offset) of each joint, m and rad.
        base: First three rows of the transform from the world to the first joint.
        tool: First three rows of the transform from the last frame to the tool.
        parts: Parts of the tool's reading that are recorded, in the order of `outputs`.
        inputs: (joints or 2 joints,) int64, numbers of the joints' channels, angles first.
        outputs: (K,) int64, numbers of the tool's channels.
    """

    joints: Sequence[Sequence[float]]
    base: Sequence[float]
    tool: Sequence[float]
    parts: frozenset[Part]
    inputs: Tensor
    outputs: Tensor

    def follow(self, clean: Tensor, read: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Let the tool's channels follow the joints: they change by what the joints' change makes.

        The clean reading of the tool has noise of its own, which stays.

        Args:
            clean: (n, C, T) float32, the clean signal.
            read: (n, C, T) float32, the faulty readings; used inside the mask.
            mask: (n, C, T) bool, the entries that the fault hits.

        Returns:
            The readings with those of the tool, and the mask with the entries at which the tool
            changes; NaN joints make the tool NaN. Tool entries that the fault hits itself stay.
        """
        joints = clean.index_select(1, self.inputs)
        seen = torch.where(
            mask.index_select(1, self.inputs), read.index_select(1, self.inputs), joints
        )
        change = (self.pose(seen) - self.pose(joints)).float()
        hit = mask.index_select(1, self.outputs)
        tool = clean.index_select(1, self.outputs) + change
        tool = torch.where(hit, read.index_select(1, self.outputs), tool)
        read = read.index_copy(1, self.outputs, tool)
        return read, mask.index_copy(1, self.outputs, hit | (change != 0))

    def pose(self, joints: Tensor) -> Tensor:
        """Compute the tool's channels from those of the joints.

        Args:
            joints: (n, joints or 2 joints, T) angles in rad and, if recorded, speeds in rad/s.

        Returns:
            (n, K, T) float64 in the order of the chain's outputs.
        """
        # In float64, so that the float32 result is the same on every processor.
        angles = joints.double()
        frame = _Frame.of(self.base, angles)
        axes, origins = [], []
        for index, row in enumerate(self.joints):
            axes.append(frame.z)
            origins.append(frame.origin)
            frame = frame.turned(angles[:, index, None], row)
        tool = frame.moved(self.tool)
        speeds = [angles[:, index, None] for index in range(len(axes), angles.shape[1])]
        parts = []
        if 'position' in self.parts:
            parts.append(tool.origin)
        if 'rotation' in self.parts:
            parts += [tool.x, tool.y]
        # Geometric Jacobian of revolute joints, term by term.
        if 'velocity' in self.parts:
            arms = [tool.origin - origin for origin in origins]
            terms = zip(speeds, axes, arms, strict=True)
            parts.append(_total([w * torch.linalg.cross(z, arm, dim=1) for w, z, arm in terms]))
        if 'rate' in self.parts:
            parts.append(_total([w * z for w, z in zip(speeds, axes, strict=True)]))
        return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class _Frame:
    """Axes and origin of a frame, (n, 3, T) float64 each, in the world frame."""

    x: Tensor
    y: Tensor
    z: Tensor
    origin: Tensor

    @classmethod
    def of(cls, transform: Sequence[float], like: Tensor) -> Self:
        """Return a constant frame for all samples and steps of (n, _, T) `like`."""
        columns = torch.tensor(transform, dtype=like.dtype, device=like.device).view(3, 4).T
        shape = (len(like), 3, like.shape[-1])
        return cls(*(column[:, None].expand(shape) for column in columns))

    def turned(self, angle: Tensor, row: Sequence[float]) -> '_Frame':
        """Return the frame behind a joint: Rz(angle + offset) Tz(d) Tx(a) Rx(alpha)."""
        d, a, alpha, offset = row
        cosine, sine = (angle + offset).cos(), (angle + offset).sin()
        x, side = cosine * self.x + sine * self.y, cosine * self.y - sine * self.x
        c, s = math.cos(alpha), math.sin(alpha)
        origin = self.origin + d * self.z + a * x
        return _Frame(x, c * side + s * self.z, c * self.z - s * side, origin)

    def moved(self, transform: Sequence[float]) -> '_Frame':
        """Return the frame after a constant transform."""
        axes = (self.x, self.y, self.z)
        # Column by column of the 3 x 4 matrix: x, y, z and the origin.
        columns = [
            _total([transform[4 * row + column] * axes[row] for row in range(3)])
            for column in range(4)
        ]
        return _Frame(columns[0], columns[1], columns[2], self.origin + columns[3])


def _total(terms: Sequence[Tensor]) -> Tensor:
    """Return the sum of tensors, added one by one: the same for every batch size."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
