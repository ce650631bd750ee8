"""What blocks resolve to: the plain list of layers that is built, counted, written and hashed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from candidates.block import Block


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation group. `operation` is `conv`, `mbconv` or `classifier`; in baselines also `residual`,
    `max_pool`, `dense`, `enet_initial` or `enet_bottleneck` (see the classes of `candidates.network`).

    `expanded` is the depthwise convolution's channels (equal to `in_channels` where there is no expansion),
    `squeeze` the squeeze-and-excite's inner channels (0 for none). `skip` is what the layer really has:
    `identity` only where the shape stays.
    """

    operation: str
    in_channels: int
    out_channels: int
    kernel: int = 1
    stride: tuple[int, int] = (1, 1)
    activation: str = "none"
    expanded: int = 0
    squeeze: int = 0
    skip: str = "none"

    def words(self) -> str:
        """The layer in a few words, for people."""
        if self.operation == "classifier":
            return "mean, linear"
        words = [f"{self.operation.replace('_', ' ')} {self.kernel}×{self.kernel}"]
        if self.operation == "mbconv":
            words.append(f"via {self.expanded} channels")
        if self.squeeze:
            words.append(f"squeeze-and-excite {self.squeeze}")
        if self.stride != (1, 1):
            words.append(
                f"stride {self.stride[0]}"
                + (f"×{self.stride[1]}" if self.stride[0] != self.stride[1] else "")
            )
        if self.activation != "none":
            words.append(self.activation)
        if self.skip != "none":
            words.append(f"{self.skip} skip")
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Bottleneck(Layer):
    """ENet's bottleneck, operation `enet_bottleneck`, with `expanded` channels inside.

    `dilation` is of its middle convolution; an `asymmetric` one is kernel × 1, then 1 × kernel. `dropout` is
    of whole channels, before the sum.
    """

    dilation: int = 1
    asymmetric: bool = False
    dropout: float = 0.1

    def words(self) -> str:
        """The layer in a few words, for people."""
        kind = f"{self.kernel}×1 and 1×{self.kernel}" if self.asymmetric else f"{self.kernel}×{self.kernel}"
        words = [f"bottleneck {kind}", f"via {self.expanded} channels"]
        if self.dilation > 1:
            words.append(f"dilated {self.dilation}")
        if self.stride != (1, 1):
            words.append(f"stride {self.stride[0]}, max-pooled skip")
        return ", ".join([*words, self.activation])


def block_layers(block: Block, arriving: int | None = None) -> Iterator[Layer]:
    """The layers of `block`; `arriving` is the channels that reach it where they differ from those declared.

    As in the MnasNet reference, skip, expansion and squeeze-and-excite follow the declared input channels.
    """
    for position in range(block.repeats):
        first = position == 0
        declared = block.in_channels if first else block.out_channels
        channels = arriving if first and arriving is not None else declared
        stride = block.stride if first else (1, 1)
        keeps_shape = stride == (1, 1) and declared == block.out_channels
        skip = block.skip
        if keeps_shape and skip == "pool":
            skip = "identity"
        elif not keeps_shape and skip == "identity":
            skip = "none"
        separable = block.expansion == 1
        inverted = block.operation == "mbconv"
        yield Layer(
            operation=block.operation,
            in_channels=channels,
            out_channels=block.out_channels,
            kernel=block.kernel,
            stride=stride,
            activation=block.activation,
            expanded=(channels if separable else declared * block.expansion) if inverted else 0,
            squeeze=max(1, int(declared * block.se)) if block.se else 0,
            skip=skip,
        )
