from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from candidates.errors import InputError
from nas.recipe import Recipe as ProxyRecipe
from nas.trainer import recipe as recipes
from nas.trainer.fields import KINDS
from nas.trainer.recipe import Recipe

EXPECTED = {
    "mnasnet", "mindcv-050", "mindcv-075", "mindcv-100", "mindcv-130", "mindcv-140", "sgd-cosine", "adam-onecycle",
    "sgd-plateau", "enet-v2", "enet-v3", "enet-v6", "enet-v7", "proxy",
}  # fmt: skip


def test_every_recipe_of_the_documentation_is_there() -> None:
    assert set(recipes.names()) == EXPECTED


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_resolved_recipe_reads_back_as_itself(name: str, tmp_path: Path) -> None:
    recipe = recipes.load(name)
    file = tmp_path / "again.yaml"
    file.write_text(recipe.to_yaml())
    assert recipes.load(str(file)) == recipe


def test_every_setting_has_a_check() -> None:
    assert set(KINDS) == {field.name for field in fields(Recipe)}


def test_the_references_learning_rate_at_its_batch() -> None:
    recipe = recipes.load("mnasnet")
    assert recipe.batch == 4096
    assert recipe.peak_lr == pytest.approx(0.256)
    assert recipe.with_values({"batch": 256}).peak_lr == pytest.approx(0.016)


def test_the_proxys_recipe_says_what_the_proxy_does() -> None:
    recipe, proxy = recipes.load("proxy"), ProxyRecipe()
    for name in ("epochs", "batch", "momentum", "weight_decay", "label_smoothing", "dropout", "crop_padding"):
        assert getattr(recipe, name) == getattr(proxy, name)
    assert (recipe.rise, recipe.zero_classifier) == (proxy.warmup, proxy.zero_classifier)
    assert recipe.peak_lr == proxy.peak_lr * proxy.batch / 64


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("format: 1\nlearning_rate: 1", r"key is 'learning_rate'; expected one of .*"),
        ("format: 1\nlrr: 1", r"did you mean lr\?"),
        ("format: 1\nlr: fast", "lr is 'fast'; expected a finite number"),
        ("format: 1\nlr: 0", "lr is 0.*; expected a number above 0"),
        ("format: 1\nlr: .nan", "lr is nan"),
        ("format: 1\nepochs: 0", "epochs is 0; expected a whole number of at least 1"),
        ("format: 1\nepochs: 2.5", "epochs is 2.5; expected a whole number"),
        ("format: 1\noptimizer: sgdd", r"optimizer is 'sgdd'; expected one of .* \(did you mean sgd\?\)"),
        ("format: 1\nnesterov: 1", "nesterov is 1; expected true or false"),
        ("format: 1\ncrop_area: 0.5", "crop_area is 0.5; expected two numbers"),
        ("format: 1\ncrop_area: [0.9, 0.1]", "expected the smaller number first"),
        ("format: 1\nlr_table: [[5, 0.1]]", "expected rising epochs that begin with 1"),
        ("format: 1\nschedule: table", "there is no lr_table"),
        ("format: 1\nbatch: 10\naccumulate: 3", "accumulate is 3; expected a divisor of the batch of 10"),
        ("format: 1\nlabel_smoothing: 1.5", "label_smoothing is 1.5; expected a number from 0 to 0.99"),
        ("format: 2", "has format 2; this version reads format 1"),
        ("- lr", "expected a mapping"),
        ("lr: [1", "cannot be read as YAML"),
        ("!!python/object/apply:os.system [echo]", "cannot be read as YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=words) as error:
        recipes.load(str(file))
    assert str(file) in str(error.value)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(InputError, match=r"recipe is 'mnasnett'; expected one of .*did you mean mnasnet\?"):
        recipes.load("mnasnett")


def test_values_are_set_from_the_command_line() -> None:
    found = recipes.overridden(
        Recipe(), ["lr=1e-3", "nesterov=false", "clip_norm=5", "crop_area=[0.3, 1]", "flip=false"]
    )
    assert (found.lr, found.nesterov, found.clip_norm) == (0.001, False, 5.0)
    assert (found.crop_area, found.flip) == ((0.3, 1.0), "false")
    for wrong, words in (("lr", "has no '='"), ("lr=[", "cannot be read"), ("lrr=1", "did you mean lr")):
        with pytest.raises(InputError, match=words):
            recipes.overridden(Recipe(), [wrong])


def test_fewer_epochs_shorten_the_warm_up() -> None:
    assert recipes.shortened(recipes.load("mnasnet"), 8).warmup_epochs == 2
    assert recipes.shortened(recipes.load("mnasnet"), 100).warmup_epochs == 5
