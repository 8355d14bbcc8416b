"""Claims at an experiment: cases with arms, each arm with the jobs of its seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from ablations import networks
from ablations.arms import difference
from ablations.claim import Claim, check_arms
from ablations.composition import alter, compose
from ablations.config import Config, ConfigError, Job, Run
from ablations.launch.plan import make_plan

# No verdict sees a run with one of these seeds.
TUNING_SEEDS = (1000, 1001)

_OWN_KEYS = {
    "seed": "the sweep chooses the seeds, see --seeds and --first-seed",
    "fast_dev_run": "a verdict needs records; make the runs smaller, as with recipe.epochs=1",
    "print_model": "it is for ablations/run.py",
}

Tuned = tuple[str, ...]


@dataclass(frozen=True)
class Arm:
    """One side of a case.

    Attributes:
        candidates: A job for each choice of the tuned keys, by its overrides; a single one, by no
            overrides, where nothing is tuned. Its seed stands for any.
    """

    candidates: dict[Tuned, Job]

    @property
    def view(self) -> str:
        """The views that its test error is read in."""
        return next(iter(self.candidates.values())).run.techniques.evaluation.value


@dataclass(frozen=True)
class Case:
    """One comparison of one claim.

    Attributes:
        claim: The claim.
        part: Name of the comparison where the claim makes several.
        looks: Numbers of pairs at which a verdict may be reached.
        first_seed: Seed of the first pair.
        arms: ``with`` and ``without``; where each is measured against a reference, ``with
            reference`` and ``without reference`` too.
        pool: Same for cases that share the baseline arm and the measure; empty for others.
    """

    claim: Claim
    part: str
    looks: tuple[int, ...]
    first_seed: int
    arms: dict[str, Arm]
    pool: str

    @property
    def name(self) -> str:
        """Name of the claim, and of the part."""
        return f"{self.claim.name}[{self.part}]" if self.part else self.claim.name

    def seeds(self, pair: int) -> tuple[int, ...]:
        """Seeds of a pair, counted from 0: one, or those of an ensemble's members."""
        size = self.claim.ensemble or 1
        return tuple(self.first_seed + pair * size + member for member in range(size))


@dataclass(frozen=True)
class Study:
    """The claims of one command at one experiment.

    Attributes:
        experiment: Name of the experiment.
        changes: What the command changed in it, hardware and places apart; ``paper`` for nothing.
        baseline: The experiment with these changes, at the seed of the first pair.
        anytime: Whether a verdict may be reached after any pair, and pairs added for ever.
        cases: The comparisons, in the order of their claims.
        excluded: Claims that make no sense at the experiment, with the reason.
        output: Folder of the runs.
    """

    experiment: str
    changes: str
    baseline: Run
    anytime: bool
    cases: tuple[Case, ...]
    excluded: tuple[tuple[Claim, str], ...]
    output: Path


def at_seed(job: Job, seed: int) -> Job:
    """The same job with another seed."""
    return replace(job, run=replace(job.run, seed=seed))


def design(
    claims: Sequence[Claim],
    overrides: Sequence[str],
    seeds: int | None = None,
    first_seed: int = 0,
    *,
    anytime: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> Study:
    """Compose every arm of every claim, hold it to one factor, and prepare the data.

    Args:
        claims: The claims of the command.
        overrides: The command's own, such as ``experiment=cifar10``; the claims' come on top.
        seeds: One look at this many pairs, instead of the claims' own looks.
        first_seed: Seed of the first pair.
        anytime: Look at every number of pairs from the claims' first look to their last, or to
            ``seeds``.
        report: Told about the preparation of data.

    Raises:
        ConfigError: An override does not exist, does not fit, or is the claim's to choose.
    """
    for item in overrides:
        if (key := _key(item)) in _OWN_KEYS:
            raise ConfigError(f"{item} cannot be set for a sweep: {_OWN_KEYS[key]}")
    given = compose(overrides)
    excluded: list[tuple[Claim, str]] = []
    drafts: list[tuple[Claim, str, dict[str, _Grid]]] = []
    for claim in claims:
        if reason := claim.excluded.get(given.experiment):
            excluded.append((claim, reason))
        else:
            _keep_apart(claim, overrides)
            _spare_tuning_seeds(claim, seeds or claim.decision.looks[-1], first_seed)
            drafts += [(claim, part, draft(claim, part, given)) for part in claim.comparisons]
    # The experiment without the command's changes names the arms.
    untouched = compose([f"experiment={given.experiment}"]).run
    grids = [grid for *_, sides in drafts for grid in sides.values()]
    configs = [(config, untouched) for grid in grids for config in grid.values()]
    plan = make_plan(configs, report) if configs else None
    users = _users(drafts)
    jobs = (
        {(key := _identity(job.run)): _labelled(job, users[key]) for job in plan.jobs}
        if plan
        else {}
    )
    cases = tuple(
        Case(
            claim,
            part,
            looks=_looks(claim, seeds, anytime),
            first_seed=first_seed,
            arms={
                name: Arm({tuned: jobs[_identity(config.run)] for tuned, config in grid.items()})
                for name, grid in sides.items()
            },
            pool=_pool(claim, sides, given.run),
        )
        for claim, part, sides in drafts
    )
    fingerprint = next((job.run.fingerprint for job in jobs.values()), "")
    return Study(
        experiment=given.experiment,
        changes=difference(given.run, untouched),
        baseline=replace(given.run, seed=first_seed, fingerprint=fingerprint),
        anytime=anytime,
        cases=cases,
        excluded=tuple(excluded),
        output=Path(given.output).resolve(),
    )


_Grid = dict[Tuned, Config]


def draft(claim: Claim, part: str, given: Config) -> dict[str, _Grid]:
    """The arms of a case, each with a configuration for every choice of the tuned keys.

    Args:
        claim: The claim.
        part: Which of its comparisons.
        given: The experiment, with the changes of the command.

    Raises:
        ConfigError: The arms differ in more than the technique, or one of them cannot be.
    """
    sides = {
        "with": (*claim.common, *claim.with_),
        "without": (*claim.common, *claim.comparisons[part]),
    }
    if claim.reference:
        sides |= {f"{name} reference": (*side, *claim.reference) for name, side in sides.items()}
    try:
        configs = {name: alter(given, side) for name, side in sides.items()}
        check_arms(claim, configs["with"].run, configs["without"].run)
        for config in configs.values():
            networks.check(config.run)
        return {
            name: {tuned: alter(config, tuned) for tuned in _choices(claim, name)}
            for name, config in configs.items()
        }
    except ConfigError as error:
        raise ConfigError(f"claim {claim.name}: {error}") from None


def _keep_apart(claim: Claim, overrides: Sequence[str]) -> None:
    for item in overrides:
        if (key := _key(item)) in claim.keys:
            raise ConfigError(
                f"{item}: the claim {claim.name} chooses {key}; leave one of them out"
            )


def _spare_tuning_seeds(claim: Claim, pairs: int, first_seed: int) -> None:
    used = range(first_seed, first_seed + pairs * (claim.ensemble or 1))
    for seed in TUNING_SEEDS:
        if seed in used:
            raise ConfigError(
                f"{claim.name} would use seed {seed}, which is kept for tuning; choose another "
                "--first-seed or fewer --seeds"
            )


def _looks(claim: Claim, seeds: int | None, anytime: bool) -> tuple[int, ...]:
    looks = claim.decision.looks
    if anytime:
        last = seeds or looks[-1]
        return tuple(range(min(looks[0], last), last + 1))
    return (seeds,) if seeds else looks


def _choices(claim: Claim, arm: str) -> list[Tuned]:
    with_technique = arm.split()[0] == "with"
    grids = [
        [f"{key}={value:g}" for value in (grid.with_ if with_technique else grid.without)]
        for key, grid in claim.tune.items()
    ]
    return list(product(*grids))


def _users(drafts: Sequence[tuple[Claim, str, dict[str, _Grid]]]) -> dict[str, tuple[str, ...]]:
    """Names of the claims that need a configuration."""
    users: dict[str, dict[str, None]] = {}
    for claim, _, sides in drafts:
        for grid in sides.values():
            for config in grid.values():
                users.setdefault(_identity(config.run), {})[claim.name] = None
    return {key: tuple(names) for key, names in users.items()}


def _labelled(job: Job, claims: tuple[str, ...]) -> Job:
    # A table of a whole study names arms by what sets them apart from the experiment.
    replicate = f"replicate={job.run.replicate}" if job.run.replicate else ""
    return replace(job, label=replicate or job.arm, claims=claims)


def _identity(run: Run) -> str:
    # Two readings of one run share its id, and a configuration does not know the fingerprint yet.
    return f"{replace(run, fingerprint='').run_id} {run.techniques.evaluation.value}"


def _pool(claim: Claim, sides: dict[str, _Grid], baseline: Run) -> str:
    runs = [config.run.run_id for grid in sides.values() for config in grid.values()]
    # Just one arm is the baseline: two readings of it have a spread of their own.
    if len(runs) != 2 or runs.count(baseline.run_id) != 1:
        return ""
    return claim.measure.model_dump_json()


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")
