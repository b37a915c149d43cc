"""Images of digits as arrays: scikit-learn's 8x8 digits, which ship with Toulmin, and folders of MNIST."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from toulmin.faults import ExitCode, Fault, FaultError

TEST_SHARE = 0.2  #: of the 8x8 digits, which come without a split


@dataclass(frozen=True)
class Images:
    """Images [N, P] from -1 (black) to 1, and their digits [N]: those to train on, then those to test on."""

    train: Float[np.ndarray, "N P"]
    train_digits: Int[np.ndarray, " N"]
    test: Float[np.ndarray, "M P"]
    test_digits: Int[np.ndarray, " M"]


def load_images(path: Path) -> Images:
    """The images of a folder: ``digits.csv.gz``, or MNIST.

    MNIST is in IDX files (``train-images-idx3-ubyte.gz`` and its three companions); the training images may instead be
    20 PNG files ``mnist_batch_I.png`` with one image a row.

    :raises FaultError: (exit SUBJECT) the files are not there, or are damaged.
    """
    try:
        if (path / "digits.csv.gz").is_file():
            table = np.loadtxt(path / "digits.csv.gz", delimiter=",")
            order = np.random.default_rng(0).permutation(len(table))
            images, digits = table[order, :-1] / 8 - 1, table[order, -1].astype(np.int64)
            cut = round(len(table) * (1 - TEST_SHARE))
            return Images(images[:cut], digits[:cut], images[cut:], digits[cut:])
        train = path / "train-images-idx3-ubyte.gz"
        pixels = _idx(train) if train.is_file() else np.concatenate(list(_batches(path)))
        parts = [pixels, *(_idx(path / f"{n}-ubyte.gz") for n in ("train-labels-idx1", "t10k-images-idx3"))]
        test_digits = _idx(path / "t10k-labels-idx1-ubyte.gz")
        flat = [p.reshape(len(p), -1) / 127.5 - 1 for p in (parts[0], parts[2])]
        if len(parts[0]) != len(parts[1]) or len(parts[2]) != len(test_digits):
            raise ValueError(f"{len(parts[0])} images for {len(parts[1])} labels")
        return Images(flat[0], parts[1].astype(np.int64), flat[1], test_digits.astype(np.int64))
    except (OSError, ValueError, EOFError, zlib.error, IndexError) as error:
        fault = Fault("routing.images", f"no images of digits can be read here: {error}", file=str(path))
        raise FaultError(fault, ExitCode.SUBJECT) from None


def _idx(path: Path) -> np.ndarray:
    """An IDX file of unsigned bytes: two zeros, the type, the number of axes, their sizes, the values."""
    data = gzip.decompress(path.read_bytes())
    if data[:3] != b"\0\0\x08":
        raise ValueError(f"{path.name} is no IDX file of bytes")
    axes = data[3]
    shape = np.frombuffer(data, ">u4", axes, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _batches(path: Path) -> Iterator[np.ndarray]:
    for batch in range(20):
        yield read_png(path / f"mnist_batch_{batch}.png")


def read_png(path: Path) -> np.ndarray:
    """The pixels [height, width] of a PNG file of 8-bit greys without interlacing.

    :raises ValueError: it is another kind of file.
    """
    data = path.read_bytes()
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[24:29] != b"\x08\0\0\0\0":
        raise ValueError(f"{path.name} is no PNG of 8-bit greys")
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    packed, at = b"", 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        packed += data[at + 8 : at + 8 + size] if data[at + 4 : at + 8] == b"IDAT" else b""
        at += 12 + size
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, width + 1)
    out = np.zeros((height, width), np.uint8)
    above = np.zeros(width, np.uint8)
    for y, line in enumerate(lines):
        out[y] = above = _unfilter(int(line[0]), line[1:], above)
    return out


def _unfilter(kind: int, line: np.ndarray, above: np.ndarray) -> np.ndarray:
    """One line of a PNG from its differences: none, left, above, their mean, or Paeth's choice of three."""
    if kind == 0:
        return line
    if kind == 1:
        return np.cumsum(line, dtype=np.uint8)
    if kind == 2:
        return line + above
    out = np.zeros_like(line)
    left = corner = 0
    for x, (difference, up) in enumerate(zip(line.tolist(), above.tolist(), strict=True)):
        if kind == 3:
            guess = (left + up) // 2
        else:
            nearest = min(
                (abs(up - corner), 0, left), (abs(left - corner), 1, up), (abs(left + up - 2 * corner), 2, corner)
            )
            guess = nearest[2]
        left, corner = (difference + guess) & 255, up
        out[x] = left
    return out
