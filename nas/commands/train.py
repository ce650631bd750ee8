"""nas-train: train a candidate in full, and what is done with what was trained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from nas.commands.app import examples, new_app, run, was_given

app = new_app()


def main() -> None:
    """The entry point."""
    run(app, "nas-train")


GROUPS = {
    "What is trained": ("data", "fake_data", "resolution", "width", "head", "fold", "init_from", "init_weights", "teacher"),
    "How": ("recipe", "settings", "show", "epochs", "global_batch", "seed"),
    "The machine": ("device", "workers", "checkpoint_steps"),
    "The training folder": ("out", "resume"),
    "What was trained": ("evaluate", "split", "watch", "predict", "compare"),
}  # fmt: skip


@app.command(
    groups=GROUPS,
    epilog=examples(
        "nas-train runs/cifar --data ~/cifar10 --recipe sgd-cosine --out trained",
        "nas-train --resume trained",
        "nas-train trained --predict photo.jpg",
        "nas-train --compare trained other",
    ),
)
def train(
    context: typer.Context,
    candidate: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CANDIDATE [IMAGES...]",
            help="A zoo name, a candidate's JSON, a run, training or exported folder; for --predict then "
            "images or folders of them, for --compare training folders.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="An image folder, a .csv or .parquet table, CIFAR binary, idx files, an .npz or digits."
        ),
    ] = None,
    recipe: Annotated[str, typer.Option(help="A recipe's name, or a YAML file.")] = "sgd-cosine",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe.")
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print the resolved recipe, and train nothing.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="Epochs [the recipe's].")] = None,
    global_batch: Annotated[
        int | None, typer.Option(help="Images in an update, on all devices together [the recipe's].")
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="Input size in pixels [the candidate's].")] = None,
    width: Annotated[float, typer.Option(help="Multiply the channels, with TensorFlow's rounding.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Decides every random draw.")] = 0,
    out: Annotated[Path | None, typer.Option(help="The training folder [runs/<date-time>].")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this training folder.")] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            help="Start from the weights of a training or exported folder, a .safetensors or a checkpoint."
        ),
    ] = None,
    init_weights: Annotated[
        str, typer.Option(help="Which weights of a training --init-from takes: ema (as shipped) or plain.")
    ] = "ema",
    teacher: Annotated[
        str | None, typer.Option(help="Learn from this trained network too: a folder, an .onnx or a .tflite.")
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(help="Hold out one of N stratified parts of the training images: 1/5 to 5/5."),
    ] = None,
    head: Annotated[
        int | None, typer.Option(help="Channels before the classifier [the candidate's].")
    ] = None,
    fake_data: Annotated[
        bool, typer.Option("--fake-data", help="Train on noise: a dry run at any size.")
    ] = False,
    device: Annotated[
        str, typer.Option(help="auto, cpu or cuda; under torchrun one for each process.")
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(help="Processes that decode images [one for each core].")
    ] = None,
    checkpoint_steps: Annotated[
        int | None, typer.Option(help="Updates between checkpoints within an epoch [every ten minutes].")
    ] = None,
    evaluate: Annotated[bool, typer.Option("--evaluate", help="Score a trained network.")] = False,
    split: Annotated[str, typer.Option(help="What --evaluate scores: val or test.")] = "val",
    watch: Annotated[
        bool, typer.Option("--watch", help="With --evaluate: score a folder's checkpoints as they come.")
    ] = False,
    predict: Annotated[bool, typer.Option("--predict", help="Classify images.")] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Several trainings in one table and one plot.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Train a candidate in full; resume, evaluate, compare trainings, classify images."""
    from nas.commands import train_modes as modes
    from nas.commands import train_options as options
    from nas.commands import trained_modes as trained

    given = list(candidate or ())
    stream = sys.stderr if as_json else sys.stdout
    mode = options.only_mode(
        resume=resume is not None, evaluate=evaluate, predict=predict, compare=compare, show=show
    )
    options.check_options(mode, {name for name in context.params if was_given(context, name)})
    if mode == "compare":
        return trained.compare(given, out, as_json)
    if mode == "predict":
        return trained.predict(given, as_json)
    machine = options.Machine(device, workers, checkpoint_steps)
    if mode == "evaluate":
        return trained.evaluate(given, data, split, watch, machine, stream, as_json)
    if resume is not None:
        return modes.resume(resume, machine, stream, as_json)
    wanted = options.Wanted(
        given, data, recipe, settings or [], epochs, global_batch, resolution, width, seed, out, init_from,
        init_weights, fake_data, teacher, fold, head,
    )  # fmt: skip
    return modes.show(wanted) if mode == "show" else modes.train(wanted, machine, stream, as_json)


if __name__ == "__main__":
    main()
