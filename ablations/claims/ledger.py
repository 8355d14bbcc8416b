"""The ledger of looks: which study looked at which claim on which data, and when.

Every look is appended to ``ledger.jsonl`` in the cache folder and in ``results/<study>/``. Both are
read, and those of all other folders in ``results/``, so that neither a new output folder nor a new
first seed hides an earlier look. A second study of a claim on the same data is judged at half the
error rate, a third at a quarter.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from ablations.composition import shipped
from ablations.config import ConfigError
from ablations.data.cache import cache_folder
from ablations.words import listed

LEDGER = "ledger.jsonl"


@dataclass(frozen=True)
class Look:
    """One look at one claim.

    Attributes:
        claim: Name of the claim.
        data: Fingerprint of the data.
        study: Name of the study.
        attempt: Hash of the rule, see :meth:`ablations.claims.schema.Study.attempt`.
        pairs: Number of pairs.
        label: Label of the claim at this look.
        estimate: Mean difference of its first part, on the scale of the analysis.
        time: Time of the look, UTC, ISO 8601.
    """

    claim: str
    data: str
    study: str
    attempt: str
    pairs: int
    label: str
    estimate: float | None
    time: str = ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Identity of the look; a repeated study has the same looks."""
        return self.claim, self.data, self.attempt, self.pairs


class Ledger:
    """Reads and appends looks.

    Args:
        study: Name of the study that appends.
        cache: The cache folder; None takes the user's.
        results: Folder with a folder for each study.
    """

    def __init__(self, study: str, cache: Path | None, results: Path) -> None:
        self.own = [(cache or cache_folder()) / LEDGER, results / study / LEDGER]
        others = [*results.glob(f"*/{LEDGER}"), *shipped("results").glob(f"*/{LEDGER}")]
        found = [look for path in {*self.own, *others} for look in _read(path)]
        self.looks: dict[tuple[str, str, str, int], Look] = {}  # the first of each, by time
        for look in sorted(found, key=lambda look: (look.time, look.pairs)):
            self.looks.setdefault(look.key, look)

    def append(self, looks: list[Look]) -> None:
        """Append the looks that are not in the ledger yet."""
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        wanted = [self.looks.setdefault(look.key, replace(look, time=now)) for look in looks]
        for path in self.own:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f".{LEDGER}.lock")):
                known = set(_read(path))
                lines = [json.dumps(asdict(look)) + "\n" for look in wanted if look not in known]
                if lines:
                    with path.open("a") as file:
                        file.writelines(lines)

    def earlier(self, claim: str, data: str, attempt: str) -> list[Look]:
        """Return the looks of other attempts at a claim that began before this attempt's first.

        Args:
            claim: Name of the claim.
            data: Fingerprint of the data.
            attempt: The present attempt.
        """
        found = [look for look in self.looks.values() if (look.claim, look.data) == (claim, data)]
        began = {look.attempt: look.time for look in reversed(found)}
        own = began.setdefault(attempt, "9999")  # sorts after every time
        return [look for look in found if began[look.attempt] < own]

    def own_looks(self, claim: str, data: str, attempt: str) -> list[int]:
        """Return the numbers of pairs at which this attempt has looked at a claim."""
        return sorted(n for *of, n in self.looks if tuple(of) == (claim, data, attempt))

    def alpha(self, claim: str, data: str, attempt: str, alpha: float) -> float:
        """Return the error rate of a study, halved for each earlier attempt."""
        return alpha / 2 ** len({look.attempt for look in self.earlier(claim, data, attempt)})

    def history(self, claim: str, data: str, attempt: str) -> str:
        """Return the looks as text: those of this study, then earlier studies with their labels."""
        own = self.own_looks(claim, data, attempt)
        parts = [f"looked at {listed(own)} pairs"] if own else []
        studies: dict[str, list[Look]] = {}
        for look in self.earlier(claim, data, attempt):
            studies.setdefault(look.attempt, []).append(look)
        for looks in studies.values():
            last = looks[-1]
            parts.append(
                f"earlier study of the same claim on these data: {last.study}, "
                f"{listed([look.pairs for look in looks])} pairs, {last.time[:10]}, {last.label}"
            )
        return "; ".join(parts)


def _read(path: Path) -> Iterator[Look]:
    if not path.exists():
        return
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            yield Look(**json.loads(line))
        except (ValueError, TypeError):
            raise ConfigError(
                f"{path}:{number}: not a valid ledger entry; next step: restore the line, or "
                "remove it if it is the last one and incomplete"
            ) from None
