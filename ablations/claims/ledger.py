"""The ledger of looks: which study looked at which claim on which data, and when.

Every look is appended to ``ledger.jsonl`` in the cache folder and in ``results/<study>/``, and both
are read, so that neither a new output folder nor a new first seed forgets an earlier look. A second
study of a claim on the same data is judged at half the error rate, a third at a quarter. Deleting
both files is the one way around it.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from ablations.composition import shipped
from ablations.config import ConfigError
from ablations.data.cache import cache_folder

LEDGER = "ledger.jsonl"


@dataclass(frozen=True)
class Look:
    """One look at one claim.

    Attributes:
        claim: Name of the claim.
        data: Fingerprint of the data.
        study: Name of the study.
        attempt: Hash of the rule, see :meth:`ablations.claims.schema.Study.attempt`.
        pairs: Pairs looked at.
        label: The label of the claim at this look.
        estimate: Mean difference of its first part, on the scale of the analysis.
        time: When, in UTC.
    """

    claim: str
    data: str
    study: str
    attempt: str
    pairs: int
    label: str
    estimate: float | None
    time: str = ""


class Ledger:
    """Reads and appends looks.

    Args:
        study: Name of the study that looks.
        cache: The cache folder; None takes the user's.
        results: Folder that holds a folder for each study.
    """

    def __init__(self, study: str, cache: Path | None, results: Path) -> None:
        own = [(cache or cache_folder()) / LEDGER, results / study / LEDGER]
        others = [*results.glob(f"*/{LEDGER}"), *shipped("results").glob(f"*/{LEDGER}")]
        self.own = own
        self.looks: dict[tuple[str, str, str, int], Look] = {}
        for path in dict.fromkeys(path.resolve() for path in (*own, *others)):
            for look in _read(path):
                key = (look.claim, look.data, look.attempt, look.pairs)
                known = self.looks.get(key)
                if known is None or look.time < known.time:
                    self.looks[key] = look

    def append(self, looks: list[Look]) -> None:
        """Append the looks that are not in the ledger yet."""
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        for look in looks:
            key = (look.claim, look.data, look.attempt, look.pairs)
            self.looks.setdefault(key, Look(**{**asdict(look), "time": now}))
        wanted = [self.looks[look.claim, look.data, look.attempt, look.pairs] for look in looks]
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
            attempt: The attempt that is judged.
        """
        of_claim = [
            look for look in self.looks.values() if (look.claim, look.data) == (claim, data)
        ]
        began = min((look.time for look in of_claim if look.attempt == attempt), default="9999")
        first: dict[str, str] = {}
        for look in of_claim:
            first[look.attempt] = min(look.time, first.get(look.attempt, look.time))
        before = {other for other, time in first.items() if other != attempt and time < began}
        found = [look for look in of_claim if look.attempt in before]
        return sorted(found, key=lambda look: (look.time, look.pairs))

    def own_looks(self, claim: str, data: str, attempt: str) -> list[int]:
        """Return the numbers of pairs at which this attempt has looked at a claim."""
        keys = [key for key in self.looks if key[:3] == (claim, data, attempt)]
        return sorted(pairs for *_, pairs in keys)


def alpha_after(earlier: list[Look], alpha: float) -> float:
    """Return the error rate of a study after earlier ones: halved for each."""
    return alpha / 2 ** len({look.attempt for look in earlier})


def history(earlier: list[Look], own: list[int]) -> str:
    """Word what was looked at: this study's pairs, then earlier studies and their labels."""
    parts = []
    if own:
        parts.append(f"looked at {_listed([str(pairs) for pairs in own])} pairs")
    studies: dict[str, list[Look]] = {}
    for look in earlier:
        studies.setdefault(look.attempt, []).append(look)
    for looks in studies.values():
        pairs = _listed([str(look.pairs) for look in looks])
        parts.append(
            f"earlier study of the same claim on these data: {looks[-1].study}, {pairs} pairs, "
            f"{looks[-1].time[:10]}, {looks[-1].label}"
        )
    return "; ".join(parts)


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _read(path: Path) -> Iterator[Look]:
    if not path.exists():
        return
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            yield Look(**json.loads(line))
        except (ValueError, TypeError):
            raise ConfigError(
                f"{path}:{number}: not a valid ledger entry; next step: restore the line, or "
                "remove it if it is the half-written last one"
            ) from None
