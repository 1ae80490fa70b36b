"""Every recipe must name options that its command has, with values that it takes."""

import dataclasses
import importlib
import tomllib
from pathlib import Path

import pytest
from pydantic import TypeAdapter

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {
    "run.toml": ("pipeline.run", "RunConfig"),
    "margins.toml": ("facial_rec.finetune_edgeface", "FinetuneConfig"),
    "edgeface.toml": ("facial_rec.train_edgeface", "ScratchConfig"),
    "dsr.toml": ("dsr.train_dsr", "TrainConfig"),
    "dsr-real.toml": ("dsr.train_dsr", "TrainConfig"),
    "finetune.toml": ("facial_rec.finetune_edgeface", "FinetuneConfig"),
    "full.toml": ("facial_rec.finetune_edgeface", "FinetuneConfig"),
    "small.toml": ("facial_rec.finetune_edgeface", "FinetuneConfig"),
    "evaluate.toml": ("pipeline.evaluate_dataset", "EvaluateConfig"),
}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "recipes").rglob("*.toml")), ids=lambda path: path.parent.name + "/" + path.name
)
def test_a_recipe_fits_its_command(path: Path) -> None:
    module, name = COMMANDS[path.name]
    config = getattr(importlib.import_module(module), name)
    types = {field.name: field.type for field in dataclasses.fields(config)}
    recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    variants = [recipe["shared"] | own for own in recipe["variants"].values()] if "variants" in recipe else [recipe]
    for key, value in (item for variant in variants for item in variant.items()):
        assert key in types, f"{path.name}: {name} has no option {key}"
        TypeAdapter(types[key]).validate_python(value)
