"""The convolutions of the official DADA networks, and the cost of a step.

Needs no PyTorch: `networks` builds its modules from the same descriptions.
"""

from collections.abc import Iterator, Sequence
import dataclasses

# ResNet-101.
BLOCKS = (3, 4, 23, 3)
PLANES = (64, 128, 256, 512)
EXPANSION = 4
STRIDES = (1, 2, 1, 1)
DILATIONS = (1, 1, 2, 4)
RATES = (6, 12, 18, 24)
# Channels of the discriminator; the last is its output.
WIDTHS = (64, 128, 256, 512, 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conv:
  """A convolution with a square kernel.

  Attributes:
    inputs, outputs: numbers of channels.
    kernel: side of the kernel.
    stride, padding, dilation: the same in both directions.
    bias: whether it has one.
  """

  inputs: int
  outputs: int
  kernel: int
  stride: int = 1
  padding: int = 0
  dilation: int = 1
  bias: bool = False

  def out(self, size: int) -> int:
    """Returns the side of the output for a side of the input."""
    reach = self.dilation * (self.kernel - 1) + 1
    return (size + 2 * self.padding - reach) // self.stride + 1

  def taps(self, size: int, *, padding: bool) -> int:
    """Returns the kernel taps along one side, summed over its outputs.

    Args:
      size: side of the input.
      padding: whether to count those on the zero padding, too.
    """
    if padding:
      return self.kernel * self.out(size)
    return sum(
      0 <= i * self.stride + k * self.dilation - self.padding < size
      for i in range(self.out(size))
      for k in range(self.kernel)
    )


STEM = Conv(inputs=3, outputs=PLANES[0], kernel=7, stride=2, padding=3)


def block_convs(inputs: int, stage: int, *, first: bool) -> dict[str, Conv]:
  """Returns a bottleneck's convolutions, with `downsample` if it is the first.

  The stride is in the first 1x1 convolution, as in Caffe.
  """
  planes, dilation = PLANES[stage], DILATIONS[stage]
  stride, outputs = STRIDES[stage] if first else 1, EXPANSION * PLANES[stage]
  convs = {
    'conv1': Conv(inputs=inputs, outputs=planes, kernel=1, stride=stride),
    'conv2': Conv(
      inputs=planes,
      outputs=planes,
      kernel=3,
      padding=dilation,
      dilation=dilation,
    ),
    'conv3': Conv(inputs=planes, outputs=outputs, kernel=1),
  }
  if first:
    convs['downsample'] = Conv(
      inputs=inputs, outputs=outputs, kernel=1, stride=stride
    )
  return convs


def blocks(counts: Sequence[int]) -> Iterator[tuple[str, dict[str, Conv]]]:
  """Yields the name and the convolutions of each bottleneck, in order."""
  inputs = STEM.outputs
  for stage, count in enumerate(counts):
    for index in range(count):
      convs = block_convs(inputs, stage, first=index == 0)
      yield f'layer{stage + 1}.{index}', convs
      inputs = convs['conv3'].outputs


def head_convs(classes: int) -> dict[str, Conv]:
  """Returns the convolutions of depth block and pyramid, all with bias."""
  wide = EXPANSION * PLANES[-1]
  convs = {
    'enc4_1': Conv(inputs=wide, outputs=512, kernel=1, bias=True),
    'enc4_2': Conv(inputs=512, outputs=512, kernel=3, padding=1, bias=True),
    'enc4_3': Conv(inputs=512, outputs=128, kernel=1, bias=True),
    'dec4': Conv(inputs=128, outputs=wide, kernel=1, bias=True),
  }
  for index, rate in enumerate(RATES):
    convs[f'layer6.{index}'] = Conv(
      inputs=wide,
      outputs=classes,
      kernel=3,
      padding=rate,
      dilation=rate,
      bias=True,
    )
  return convs


def disc_convs(channels: int) -> list[Conv]:
  """Returns the convolutions of the discriminator."""
  return [
    Conv(inputs=i, outputs=o, kernel=4, stride=2, padding=1, bias=True)
    for i, o in zip((channels, *WIDTHS), WIDTHS, strict=False)
  ]


def _flops(conv, size, padding):
  rows, columns = (conv.taps(side, padding=padding) for side in size)
  return 2.0 * conv.inputs * conv.outputs * rows * columns


def _after(conv, size):
  return tuple(map(conv.out, size))


def task_flops(
  size: Sequence[int],
  *,
  classes: int,
  counts: Sequence[int] = BLOCKS,
  padding: bool = True,
) -> list[float]:
  """Returns the operations of a forward pass's convolutions, in order.

  Args:
    size: (height, width) of the image.
    classes: number of classes.
    counts: number of bottlenecks per stage.
    padding: whether to count products with the zero padding, too.
  """
  found = [_flops(STEM, size, padding)]
  # 3x3 pooling with stride 2 in ceil mode.
  size = tuple(side // 2 + 1 for side in _after(STEM, size))
  for _, convs in blocks(counts):
    inner = _after(convs['conv1'], size)
    for name, conv in convs.items():
      before = size if name in ('conv1', 'downsample') else inner
      found.append(_flops(conv, before, padding))
    size = inner
  found += [_flops(c, size, padding) for c in head_convs(classes).values()]
  return found


def disc_flops(
  size: Sequence[int], *, channels: int, padding: bool = True
) -> list[float]:
  """Returns the operations of a discriminator's convolutions, in order."""
  found = []
  for conv in disc_convs(channels):
    found.append(_flops(conv, size, padding))
    size = _after(conv, size)
  return found


def step_flops(
  source: Sequence[int],
  target: Sequence[int],
  *,
  classes: int = 16,
  counts: Sequence[int] = BLOCKS,
  padding: bool = True,
) -> float:
  """Returns the operations of the official step's convolutions.

  A forward pass with its two gradients costs three times the forward pass,
  minus the gradient of the image. The discriminator sees the target's maps
  twice: once to be fooled, with only the gradient of the maps, and once to
  learn.
  """
  total = 0.0
  for size in (source, target):
    convs = task_flops(size, classes=classes, counts=counts, padding=padding)
    total += 3 * sum(convs) - convs[0]
    convs = disc_flops(size, channels=classes, padding=padding)
    total += 3 * sum(convs) - convs[0]
  return total + 2 * sum(convs)
