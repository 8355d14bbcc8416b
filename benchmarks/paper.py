"""ImageNet on many GPUs, computed from what one of them and one core do.

    python -m benchmarks.paper [IMAGES_PER_SECOND] [DECODE_MS]

Prints the table of docs/speed.md; its default figures are assumptions, said there.
"""

import sys
from dataclasses import dataclass

IMAGES, EPOCHS, RUNS = 1_280_000, 90, 6  # a claim takes two arms and three seeds


@dataclass(frozen=True)
class Parts:
    """What the table follows from.

    Attributes:
        rate: Images/s that one GPU trains on.
        decode: Milliseconds of a core for an image.
        kilobytes: Of a stored image.
        sharing: Share of the sum of their rates that several GPUs reach.
        price: Of a GPU, in dollars an hour.
    """

    rate: float = 12_000.0
    decode: float = 0.4
    kilobytes: float = 27.0
    sharing: float = 0.9
    price: float = 2.5


def line(parts: Parts, gpus: int) -> dict[str, float]:
    """Images/s, MB/s, cores that decode, hours of a run and a claim, dollars of a claim."""
    rate = parts.rate * (1 if gpus == 1 else gpus * parts.sharing)
    hours = IMAGES * EPOCHS / rate / 3600
    return {
        "images/s": rate,
        "read, MB/s": rate * parts.kilobytes / 1e3,
        "cores that decode": rate * parts.decode / 1e3,
        "hours a run": hours,
        "hours a claim": hours * RUNS,
        "price a claim": hours * RUNS * gpus * parts.price,
    }


def table(parts: Parts) -> str:
    """The table in Markdown, two digits a figure."""
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
