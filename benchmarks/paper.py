"""Estimate the time and price of ImageNet on many GPUs from the rates of one GPU and one core.

    python -m benchmarks.paper [IMAGES_PER_SECOND] [DECODE_MS]

Prints the table of docs/speed.md, which also explains the default values.
"""

import sys
from dataclasses import dataclass

IMAGES, EPOCHS, RUNS = 1_280_000, 90, 6  # a claim needs two arms with three seeds


@dataclass(frozen=True)
class Parts:
    """Assumptions of the table.

    Attributes:
        rate: Training rate of one GPU, in images/s.
        decode: Decoding time of an image on one core, in milliseconds.
        kilobytes: Size of a stored image.
        sharing: Rate of several GPUs as a fraction of the sum of their rates.
        price: Price of a GPU, in dollars per hour.
    """

    rate: float = 12_000.0
    decode: float = 0.4
    kilobytes: float = 27.0
    sharing: float = 0.9
    price: float = 2.5


def line(parts: Parts, gpus: int) -> dict[str, float]:
    """Return the values of a table row."""
    rate = parts.rate * (1 if gpus == 1 else gpus * parts.sharing)
    hours = IMAGES * EPOCHS / rate / 3600
    return {
        "images/s": rate,
        "read, MB/s": rate * parts.kilobytes / 1e3,
        "cores for decoding": rate * parts.decode / 1e3,
        "hours per run": hours,
        "hours per claim": hours * RUNS,
        "price per claim": hours * RUNS * gpus * parts.price,
    }


def table(parts: Parts) -> str:
    """Return the table in Markdown, with two significant digits."""
    rows = [(gpus, line(parts, gpus)) for gpus in (1, 8, 64)]
    heads = ["GPUs", *rows[0][1]]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for gpus, values in rows:
        cells = [f"{float(f'{value:.2g}'):,g}" for value in values.values()]
        lines.append("| " + " | ".join([str(gpus), *cells[:-1], f"${cells[-1]}"]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:]]
    print(table(Parts(*given)))
