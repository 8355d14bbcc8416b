"""Crops, reflections and color noise.

Claim:
    Without random crops and reflections the network overfits substantially. Noise along the
    principal components of the colors lowers the top-1 error by over 1 point.

Source:
    §4.1.

Variants:
    ``full``: crops, reflections and color noise. ``crop_flip``: without color noise. ``color``:
    without crops and reflections, every image is its center crop. ``none``: neither.

Deviates:
    The printed noise, a multiple of the eigenvalue added to a pixel, depends on the scale of the
    pixels: on 0 to 255 it would be hundreds of gray levels. ``edition=printed`` takes it on the
    scale of 0 to 1, where it is about 3; ``edition=released`` takes the square root of the
    eigenvalue, as the authors' code does, about 7, and divides the image by 1.1 afterwards, in
    training only.
    Crops may lie at all S - crop + 1 offsets, as in the code; the paper counts one fewer (2048
    variants of an image).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ablations.techniques import Augmentation


@dataclass(frozen=True)
class Draws:
    """Random numbers of the augmentation of N images.

    Attributes:
        top: First row of the crop, shape (N,), int64.
        left: First column of the crop, shape (N,), int64.
        flip: Whether the crop is mirrored, shape (N,), bool.
        color: Standard normals, one for each principal component, shape (N, 3), float32; zeros
            without color noise.
    """

    top: Tensor
    left: Tensor
    flip: Tensor
    color: Tensor

    def __getitem__(self, positions: Tensor | slice) -> "Draws":
        return Draws(
            self.top[positions], self.left[positions], self.flip[positions], self.color[positions]
        )

    def to(self, device: torch.device) -> "Draws":
        """The same numbers on a device."""
        return Draws(*(part.to(device) for part in (self.top, self.left, self.flip, self.color)))


def crops(kind: Augmentation) -> bool:
    """Whether images are cropped and reflected at random."""
    return kind in (Augmentation.full, Augmentation.crop_flip)


def colors(kind: Augmentation) -> bool:
    """Whether color noise is added."""
    return kind in (Augmentation.full, Augmentation.color)


def draw(
    n: int, generator: torch.Generator, *, size: int, crop: int, augmentation: Augmentation
) -> Draws:
    """Draw the augmentation of ``n`` images.

    Paper: §4.1.

    The same numbers are drawn for every ``augmentation``: two arms share whatever both of them use.

    Args:
        n: Number of images, such as those of an epoch.
        generator: Random numbers of the CPU.
        size: Height and width of the stored images, in pixels.
        crop: Height and width of the crops, in pixels; at most ``size``.
        augmentation: What is random.

    Examples:
        >>> generator = torch.Generator().manual_seed(0)
        >>> draw(2, generator, size=32, crop=24, augmentation=Augmentation.none).top.tolist()
        [4, 4]
    """
    top, left = torch.randint(size - crop + 1, (2, n), generator=generator)
    flip = torch.randint(2, (n,), generator=generator) == 1
    color = torch.randn(n, 3, generator=generator)
    if not crops(augmentation):
        top = left = torch.full((n,), (size - crop) // 2)
        flip = torch.zeros(n, dtype=torch.bool)
    if not colors(augmentation):
        color = torch.zeros(n, 3)
    return Draws(top, left, flip, color)


def crop_and_flip(images: Tensor, top: Tensor, left: Tensor, flip: Tensor, crop: int) -> Tensor:
    """Cut one crop out of each image and mirror some.

    Paper: §4.1.

    Args:
        images: Shape (N, S, S, 3), contiguous, any dtype.
        top: First row of each crop, shape (N,), int64.
        left: First column of each crop, shape (N,), int64.
        flip: Whether to mirror each crop, shape (N,), bool.
        crop: Height and width of the crops, in pixels; at most S.

    Returns:
        Shape (N, crop, crop, 3), dtype of ``images``.

    Examples:
        >>> images = torch.arange(27).view(1, 3, 3, 3)
        >>> one, no = torch.tensor([1]), torch.tensor([False])
        >>> crop_and_flip(images, one, one, no, 1).tolist()
        [[[[12, 13, 14]]]]
    """
    n, height, width, channels = images.shape
    step = torch.arange(crop, device=images.device)
    row = top[:, None] + step
    column = left[:, None] + torch.where(flip[:, None], crop - 1 - step, step)
    image = torch.arange(n, device=images.device)[:, None, None]
    # One gather of whole pixels: three times as fast as indexing images, rows and columns apart.
    pixel = (image * height + row[:, :, None]) * width + column[:, None, :]
    pixels = images.view(-1, channels).index_select(0, pixel.flatten())
    return pixels.view(n, crop, crop, channels)


def to_input(images: Tensor, mean: Tensor) -> Tensor:
    """Subtract the mean image.

    Paper: §2; pixels keep their scale of 0 to 255.

    Args:
        images: Crops, shape (N, H, W, 3), uint8.
        mean: Center of the mean training image, shape (H, W, 3), float32.

    Returns:
        Shape (N, 3, H, W), float32, channels last in memory.

    Examples:
        >>> to_input(torch.full((1, 1, 1, 3), 7, dtype=torch.uint8), torch.ones(1, 1, 3)).flatten()
        tensor([6., 6., 6.])
    """
    # In place: a subtraction of unlike types takes half as long again.
    return images.to(mean.dtype, copy=True).sub_(mean).permute(0, 3, 1, 2)


def color_axes(covariance: Tensor, *, power: float) -> Tensor:
    """Color shifts of one standard deviation along each principal component.

    Paper: §4.1: 0.1 times the eigenvalue, on pixels of 0 to 1.
    Deviates: the scale of the pixels and ``power``, see the card.

    Args:
        covariance: Of the RGB values of all training pixels on the scale of 0 to 255, shape (3, 3).
        power: Of the eigenvalue: 1 as printed, 0.5 (its standard deviation) as released.

    Returns:
        Row i is the RGB shift along component i, in gray levels of 0 to 255, shape (3, 3), float32.

    Examples:
        >>> covariance = torch.diag(torch.tensor([100.0, 400.0, 900.0]))
        >>> color_axes(covariance, power=0.5).diagonal()
        tensor([1., 2., 3.])
    """
    eigenvalues, eigenvectors = torch.linalg.eigh(covariance.double() / 255**2)
    # An eigenvector is known up to its sign, which libraries choose differently.
    largest = eigenvectors.abs().argmax(0, keepdim=True)
    eigenvectors = eigenvectors * eigenvectors.gather(0, largest).sign()
    return (255 * 0.1 * eigenvalues.clamp_min(0) ** power * eigenvectors).T.float()


def color_noise(x: Tensor, normals: Tensor, axes: Tensor, *, divisor: float) -> Tensor:
    """Shift all pixels of an image along the principal components of the colors.

    Paper: §4.1.
    Deviates: ``divisor``, see the card.

    Args:
        x: Images less their mean, on the scale of 0 to 255, shape (N, 3, H, W).
        normals: Standard normals, shape (N, 3).
        axes: See :func:`color_axes`, shape (3, 3).
        divisor: Divides the result: 1 as printed, 1.1 as released.

    Returns:
        New tensor of the shape and dtype of ``x``, channels last in memory.

    Examples:
        >>> x, ones = torch.zeros(1, 3, 1, 1), torch.ones(1, 3)
        >>> color_noise(x, ones, torch.eye(3), divisor=2.0).flatten()
        tensor([0.5000, 0.5000, 0.5000])
    """
    pixels = x.permute(0, 2, 3, 1)
    # Added to whole rows, which lie in one piece, it takes a third of the time that threes take.
    shift = (normals @ axes).to(x.dtype).repeat(1, pixels.shape[2])
    rows = pixels.flatten(2) + shift[:, None]
    return (rows / divisor if divisor != 1 else rows).view(pixels.shape).permute(0, 3, 1, 2)
