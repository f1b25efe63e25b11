"""The detector's network: plain 3x3 convolutions, three strides, one head a stride."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)

CLASS, OBJECT, BOX, LANDMARKS = slice(0, 1), slice(1, 2), slice(2, 6), slice(6, 16)
"""Channels of a head: two logits, centre and log size of the box, and five points, relative to the
cell and in strides."""

LOG_HALF_SIDES = (-7.0, 8.0)
"""Half sides of a box are between e^-7 and e^8 (2,981) px, so that they cannot overflow."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Channels and depths.

    Attributes:
        stem: channels of the three layers at strides 2, 4 and 4.
        channels: channels of every layer from stride 8 on.
        depths: layers at strides 8, 16 and 32.
        residuals: residual layers after those (He et al., 2016). At first they change nothing, so
            that they can be added to a trained network.
        head: channels of the last layer before the outputs of each stride.
    """

    stem: tuple[int, int, int] = (16, 32, 32)
    channels: int = 48
    depths: tuple[int, int, int] = (3, 3, 2)
    residuals: tuple[int, int, int] = (0, 2, 3)
    head: int = 80


class ConvBlock(nn.Sequential):
    """A convolution, batch norm and ReLU; fused into one convolution for export."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs, momentum=0.03),
            nn.ReLU(inplace=True),
        )

    @property
    def convolution(self) -> nn.Conv2d:
        """The convolution, without bias."""
        layer = self[0]
        assert isinstance(layer, nn.Conv2d)
        return layer

    @property
    def norm(self) -> nn.BatchNorm2d:
        """The batch norm after it."""
        layer = self[1]
        assert isinstance(layer, nn.BatchNorm2d)
        return layer


class ResidualBlock(ConvBlock):
    """A block that adds to its input; at first it adds 0."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, features: Tensor) -> Tensor:
        """ReLU(input + block(input)): in this order ONNX Runtime fuses everything into one
        layer."""
        return functional.relu(features + self.norm(self.convolution(features)), inplace=True)


class FaceNetwork(nn.Module):
    """Images n x 3 x h x w (B, G, R, 0-255; sides multiples of 32) to raw heads of strides 8, 16
    and 32.

    A minimal feature pyramid (Lin et al., 2017): each level adds the upscaled one above it.
    """

    def __init__(self, architecture: Architecture = Architecture()) -> None:
        super().__init__()
        self.architecture = architecture
        first, second, third = architecture.stem
        channels = architecture.channels
        self.stem = nn.Sequential(
            ConvBlock(3, first, stride=2),
            ConvBlock(first, second, stride=2),
            ConvBlock(second, third),
        )
        self.levels = nn.ModuleList()
        shapes = zip(
            (third, channels, channels), architecture.depths, architecture.residuals, strict=True
        )
        for inputs, depth, residuals in shapes:
            layers = [
                ConvBlock(inputs, channels, stride=2),
                *(ConvBlock(channels, channels) for _ in range(depth - 1)),
            ]
            layers += [ResidualBlock(channels) for _ in range(residuals)]
            self.levels.append(nn.Sequential(*layers))
        self.laterals = nn.ModuleList(ConvBlock(channels, channels, kernel=1) for _ in STRIDES)
        self.heads = nn.ModuleList(ConvBlock(channels, architecture.head) for _ in STRIDES)
        self.outputs = nn.ModuleList(
            nn.Conv2d(architecture.head, LANDMARKS.stop, 1) for _ in STRIDES
        )
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        for output in self.outputs:
            assert isinstance(output, nn.Conv2d)
            assert output.bias is not None
            nn.init.normal_(output.weight, std=0.01)
            nn.init.zeros_(output.bias)
            # Nearly every cell is background; this prior keeps the first steps stable (Lin et al.,
            # 2017b).
            nn.init.constant_(output.bias[OBJECT], -4.0)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Raw heads, each n x 16 x h/stride x w/stride."""
        features = self.stem(images)
        found = []
        for level in self.levels:
            features = level(features)
            found.append(features)
        merged: list[Tensor] = []
        for lateral, level_features in zip(reversed(self.laterals), reversed(found), strict=True):
            here = lateral(level_features)
            if merged:
                here = here + functional.interpolate(merged[-1], scale_factor=2.0, mode="nearest")
            merged.append(here)
        return [
            output(head(features))
            for head, output, features in zip(
                self.heads, self.outputs, reversed(merged), strict=True
            )
        ]


def flatten_heads(heads: Sequence[Tensor]) -> Tensor:
    """Raw heads as one n x cells x 16, strides concatenated, cells row by row."""
    return torch.cat([head.flatten(2) for head in heads], 2).transpose(1, 2)


def cell_grid(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Column, row and stride of each cell of an image of that size: cells x 3 float32."""
    grids = []
    for stride in STRIDES:
        rows, columns = torch.meshgrid(
            torch.arange(height // stride, device=device),
            torch.arange(width // stride, device=device),
            indexing="ij",
        )
        # Columns before rows, as x comes before y.
        grids.append(
            torch.stack(
                [columns.flatten(), rows.flatten(), torch.full_like(rows.flatten(), stride)], 1
            )
        )
    return torch.cat(grids).float()


def decode_boxes(raw: Tensor, grid: Tensor) -> Tensor:
    """Raw cells (... x 16) and their grid rows (... x 3) to x1, y1, x2, y2 in px: ... x 4."""
    stride = grid[..., 2:]
    centre = (raw[..., 2:4] + grid[..., :2]) * stride
    half = (raw[..., 4:6] + (stride / 2).log()).clamp(*LOG_HALF_SIDES).exp()
    return torch.cat([centre - half, centre + half], -1)


def decode_landmarks(raw: Tensor, grid: Tensor) -> Tensor:
    """Raw cells (... x 16) and their grid rows (... x 3) to five points in px: ... x 5 x 2."""
    points = raw[..., LANDMARKS].unflatten(-1, (5, 2))
    return (points + grid[..., None, :2]) * grid[..., None, 2:]


def decode_scores(raw: Tensor) -> Tensor:
    """The geometric mean of class and objectness, 0-1."""
    return (raw[..., 0].sigmoid() * raw[..., 1].sigmoid()).sqrt()


def layers_in_order(network: FaceNetwork) -> Iterator[ConvBlock | nn.Conv2d]:
    """Every convolution, with its batch norm if it has one, in the order of exported graphs."""
    yield from network.stem
    for level in network.levels:
        yield from level
    yield from reversed(network.laterals)
    for head, output in zip(network.heads, network.outputs, strict=True):
        yield head
        yield output
