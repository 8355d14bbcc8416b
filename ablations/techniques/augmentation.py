"""Random crops, reflections, and color noise.

Claim:
    Without random crops and reflections the network overfits substantially. Noise along the
    principal components of the colors lowers the top-1 error by more than 1 point.

Source:
    §4.1.

Variants:
    ``full``: crops, reflections and color noise. ``crop_flip``: crops and reflections only.
    ``color``: color noise only, on the center crop. ``none``: the center crop.

Deviates:
    The text adds a multiple of each eigenvalue to the pixels, so the strength of the noise depends
    on the scale of the pixels: with pixels from 0 to 255 it would be hundreds of gray levels.
    ``edition=printed`` therefore computes it on pixels from 0 to 1 (about 3 gray levels in
    ImageNet). ``edition=released`` uses the square root of the eigenvalue, as the authors' code
    does (about 7 gray levels), and divides training images by 1.1 afterwards.
    As in the code, a crop has S - crop + 1 possible offsets along each axis. The paper counts one
    fewer (2048 variants of each image).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ablations.techniques import Augmentation


@dataclass(frozen=True)
class Draws:
    """Random numbers for the augmentation of N images.

    Attributes:
        top: First row of each crop, shape (N,), int64.
        left: First column of each crop, shape (N,), int64.
        flip: Whether to mirror each crop, shape (N,), bool.
        color: Standard normal values, one for each principal component, shape (N, 3), float32;
            zeros without color noise.
    """

    top: Tensor
    left: Tensor
    flip: Tensor
    color: Tensor

    def __getitem__(self, positions: Tensor | slice) -> "Draws":
        return Draws(*(part[positions] for part in vars(self).values()))

    def to(self, device: torch.device) -> "Draws":
        """Return a copy on ``device``."""
        return Draws(*(part.to(device) for part in vars(self).values()))


def crops(kind: Augmentation) -> bool:
    """Return whether ``kind`` includes random crops and reflections."""
    return kind in (Augmentation.full, Augmentation.crop_flip)


def colors(kind: Augmentation) -> bool:
    """Return whether ``kind`` includes color noise."""
    return kind in (Augmentation.full, Augmentation.color)


def draw(
    n: int, generator: torch.Generator, *, size: int, crop: int, augmentation: Augmentation
) -> Draws:
    """Draw random numbers for the augmentation of ``n`` images.

    Paper: §4.1.

    The generator advances equally for every value of ``augmentation``, so that arms with one seed
    share the crops, reflections and noise that they have in common.

    Args:
        n: Number of images, for example in an epoch.
        generator: A generator on the CPU.
        size: Height and width of the stored images, in pixels.
        crop: Height and width of the crops, in pixels; at most ``size``.
        augmentation: Which parts are random; the others are centered, unflipped or zero.

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
    """Crop each image and mirror some of the crops.

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
    # Gather whole pixels, because indexing by image, row and column is slower.
    pixel = (image * height + row[:, :, None]) * width + column[:, None, :]
    pixels = images.view(-1, channels).index_select(0, pixel.flatten())
    return pixels.view(n, crop, crop, channels)


def to_input(images: Tensor, mean: Tensor) -> Tensor:
    """Subtract the mean image and move the channels to the second dimension.

    Paper: §2. Pixels keep their scale of 0 to 255.

    Args:
        images: Crops, shape (N, H, W, 3), uint8.
        mean: Center crop of the mean training image, shape (H, W, 3), float32.

    Returns:
        Network input, shape (N, 3, H, W), float32, in channels-last memory format.

    Examples:
        >>> to_input(torch.full((1, 1, 1, 3), 7, dtype=torch.uint8), torch.ones(1, 1, 3)).flatten()
        tensor([6., 6., 6.])
    """
    # In place, because a subtraction with mixed dtypes is slower.
    return images.to(mean.dtype, copy=True).sub_(mean).permute(0, 3, 1, 2)


def color_axes(covariance: Tensor, *, power: float) -> Tensor:
    """Return the RGB shift for one standard deviation of noise along each principal component.

    Paper: §4.1, 0.1 times the eigenvalue.
    Deviates: the scale of the pixels and ``power``; see the card.

    Args:
        covariance: Covariance of the RGB values of all training pixels (0 to 255), shape (3, 3).
        power: Exponent of the eigenvalue: 1 in the text; 0.5, which gives the standard deviation,
            in the code.

    Returns:
        Shifts on the scale of 0 to 255, shape (3, 3), float32; row i is component i.

    Examples:
        >>> covariance = torch.diag(torch.tensor([100.0, 400.0, 900.0]))
        >>> color_axes(covariance, power=0.5).diagonal()
        tensor([1., 2., 3.])
    """
    eigenvalues, eigenvectors = torch.linalg.eigh(covariance.double() / 255**2)
    # The sign of an eigenvector is arbitrary, and libraries choose it differently.
    largest = eigenvectors.abs().argmax(0, keepdim=True)
    eigenvectors = eigenvectors * eigenvectors.gather(0, largest).sign()
    return (255 * 0.1 * eigenvalues.clamp_min(0) ** power * eigenvectors).T.float()


def color_noise(x: Tensor, normals: Tensor, axes: Tensor, *, divisor: float) -> Tensor:
    """Add color noise: shift all pixels of an image by one random combination of ``axes``.

    Paper: §4.1.
    Deviates: ``divisor``; see the card.

    Args:
        x: Images minus the mean image, on the scale of 0 to 255, shape (N, 3, H, W).
        normals: Standard normal values, shape (N, 3).
        axes: Result of :func:`color_axes`, shape (3, 3).
        divisor: The result is divided by it: 1 in the text, 1.1 in the code.

    Returns:
        A new tensor with the shape and dtype of ``x``, in channels-last memory format.

    Examples:
        >>> x, ones = torch.zeros(1, 3, 1, 1), torch.ones(1, 3)
        >>> color_noise(x, ones, torch.eye(3), divisor=2.0).flatten()
        tensor([0.5000, 0.5000, 0.5000])
    """
    pixels = x.permute(0, 2, 3, 1)
    # Add to whole contiguous rows, because adding to one pixel at a time is slower.
    shift = (normals @ axes).to(x.dtype).repeat(1, pixels.shape[2])
    rows = pixels.flatten(2) + shift[:, None]
    return (rows / divisor if divisor != 1 else rows).view(pixels.shape).permute(0, 3, 1, 2)
