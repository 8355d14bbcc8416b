"""Compute the mean image and the principal colors of the training pixels."""

from threading import Lock

import numpy as np


class PixelSums:
    """Sums over pixels, as integers, which are exact in any order.

    Args:
        size: Height and width of the images, in pixels.
    """

    def __init__(self, size: int) -> None:
        self.count = 0
        self.total = np.zeros((size, size, 3), np.int64)
        self.products = np.zeros((3, 3), np.int64)
        self._lock = Lock()

    def add(self, image: np.ndarray) -> None:
        """Add an image, shape (S, S, 3), uint8; threads may add images at the same time."""
        flat = image.reshape(-1, 3).astype(np.float64)
        products = (flat.T @ flat).astype(np.int64)  # exact in float64 for one image
        with self._lock:
            self.count += 1
            self.total += image
            self.products += products

    def mean_image(self) -> np.ndarray:
        """Return the mean of each pixel over the images (§2): (S, S, 3), float32, 0 to 255."""
        return (self.total / self.count).astype(np.float32)

    def principal_colors(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the principal components of the RGB values of all pixels (§4.1).

        Returns:
            Standard deviations on the scale 0 to 255, shape (3,), largest first, and unit
            eigenvectors as columns, shape (3, 3); the largest entry of each is positive.
        """
        height, width, _ = self.total.shape
        pixels = self.count * height * width
        mean = self.total.sum((0, 1)) / pixels
        values, vectors = np.linalg.eigh(self.products / pixels - np.outer(mean, mean))
        values, vectors = values[::-1], vectors[:, ::-1]
        largest = vectors[np.abs(vectors).argmax(0), range(3)]
        return np.sqrt(values.clip(0)), vectors * np.sign(largest)
