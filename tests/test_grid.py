import pytest
from omegaconf import OmegaConf

from ablations.config import Config, ConfigError
from ablations.grid import points, sort_words, split


def test_options_keep_their_values_and_leave_the_overrides_in_order():
    words = ["seed=1", "--cfg", "job", "pooling=overlap", "-m", "width=1"]
    options, overrides = sort_words(words)
    assert options == ["--cfg", "job", "-m"]
    assert overrides == ["seed=1", "pooling=overlap", "width=1"]


@pytest.mark.parametrize(
    ("words", "kept", "grid"),
    [
        (["seed=0,1"], [], {"seed": [0, 1]}),
        (["width=1", "seed=range(2)"], ["width=1"], {"seed": [0, 1]}),
        (["pooling=overlap,nonoverlap", "seed=0,1", "trainer=cpu"], ["trainer=cpu"], ...),
        (["experiment=a,b", "seed=0,1"], ["experiment=a,b"], {"seed": [0, 1]}),
        (
            ["seed=0,1", "experiment=a,b", "width=1,2"],
            ["seed=0,1", "experiment=a,b"],
            {"width": [1, 2]},
        ),
        (["++seed=0,1"], ["++seed=0,1"], {}),
        (["seed=0,1", "seed=3"], ["seed=0,1", "seed=3"], {}),
        (["recipe.lr=1,2", "recipe={lr:3}"], ["recipe.lr=1,2", "recipe={lr:3}"], {}),
        (["hydra.verbose=a,b", "seed=0,1"], ["hydra.verbose=a,b"], {"seed": [0, 1]}),
    ],
)
def test_what_follows_the_last_group_is_ours(words: list[str], kept: list[str], grid):
    left, found = split(words)
    assert left == kept
    assert grid is ... or found == grid
    assert grid is not ... or list(found) == ["pooling", "seed"]


@pytest.mark.parametrize("word", ["output=a,b", "logger=csv,none", "logger.project=a,b"])
@pytest.mark.parametrize("later", [[], ["experiment=smoke,cifar10"], ["seed=0,1"]])
def test_what_all_runs_share_is_refused_wherever_it_stands(word: str, later: list[str]):
    with pytest.raises(ConfigError, match=f"^{word}: all runs of a sweep share it"):
        split([word, *later])


def test_the_last_key_varies_fastest():
    found = points(OmegaConf.structured(Config()), {})
    assert len(list(found)) == 1
    typed = OmegaConf.structured(Config())
    OmegaConf.set_readonly(typed, None)
    seeds = [(job.width, job.seed) for job in points(typed, {"width": [1, 0.5], "seed": [0, 1]})]
    assert seeds == [(1.0, 0), (1.0, 1), (0.5, 0), (0.5, 1)]
