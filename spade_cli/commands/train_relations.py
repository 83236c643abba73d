"""``spade train-relations``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spade.steps.common import StepResult
from spade_cli.options import Common, common_options


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train-relations", epilog="Example: spade train-relations --epochs 12")(common_options(train_relations))


def train_relations(
    common: Common,
    data: Annotated[
        Path | None, typer.Argument(metavar="DATA", help="Data set to train on (default: the one that was inverted).")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the pictures, if not beside the annotations.")] = None,
    nodes: Annotated[
        str,
        typer.Option(
            help=(
                "diffusion: masks and relations on calibrated features; layout: relations of labels and boxes, no "
                "pixels."
            )
        ),
    ] = "diffusion",
    clip: Annotated[
        str | None,
        typer.Option(
            help="With --nodes layout: an OpenCLIP model whose text embeddings stand for names and predicates."
        ),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            help="Which relations choose the best epoch: sgdet, of found segments, or predcls, of given ones."
        ),
    ] = "sgdet",
    width: Annotated[int, typer.Option(min=0, help="Channels of a node (0: the default).")] = 0,
    layers: Annotated[
        int | None,
        typer.Option(
            min=0, max=64, help="Layers of the relation graph transformer; 0 for none (default: the backbone's)."
        ),
    ] = None,
    context: Annotated[
        str, typer.Option(help="Parts of these layers: near, far, convolution, with commas; none for no context.")
    ] = "near,far,convolution",
    attention: Annotated[
        str,
        typer.Option(
            help=(
                "values: context is taken from the set; literal: the set only scales the node, as in the paper's "
                "figure."
            )
        ),
    ] = "values",
    neighbours: Annotated[
        str | None,
        typer.Option(
            help="hard, as in SPADE, or soft, learned weights (default: soft in fresh heads, hard of layout)."
        ),
    ] = None,
    nearness: Annotated[
        str, typer.Option(help="Whether neighbours are near by their boxes or by their masks.")
    ] = "boxes",
    selector: Annotated[str, typer.Option(help="roles: directed pairs; cosine: SPADE's symmetric matrix.")] = "roles",
    geometry: Annotated[bool, typer.Option(help="Tell pairs where they lie to each other.")] = True,
    octaves: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=16,
            help="Tell geometry in waves of so many octaves, too; 0 for none (default: 5, in fresh heads).",
        ),
    ] = None,
    gate: Annotated[bool, typer.Option(help="Let that geometry gate what a pair is made of, too (SPADE++).")] = False,
    unions: Annotated[bool, typer.Option(help="Show pairs the box around both (SPADE++).")] = False,
    maps: Annotated[bool, typer.Option(help="Let the UNet's attention to a predicate add to its score.")] = False,
    contrast: Annotated[
        float, typer.Option(min=0, max=1, help="What is taken off a predicate's score for its likest others (SPADE++).")
    ] = 0.0,
    edges: Annotated[
        bool | None,
        typer.Option(help="Let the graph's attention weigh that geometry, too (default: with --nodes layout)."),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help=(
                "In graph and relation decoder (default: 0.3 with --nodes layout, 0.1 in other fresh heads, else "
                "their own)."
            ),
        ),
    ] = None,
    look: Annotated[
        bool, typer.Option(help="Let pairs attend to the picture or, with --nodes layout, to all segments.")
    ] = True,
    places: Annotated[
        bool | None, typer.Option(help="Tell pairs where in the picture they look (default: in fresh heads).")
    ] = None,
    pairs: Annotated[
        int,
        typer.Option(min=0, help="Pairs of a picture that are decoded, at most (0: 100, with --nodes layout 10,000)."),
    ] = 0,
    fine: Annotated[bool, typer.Option(help="Find masks on the autoencoder's finer blocks, too.")] = True,
    name_attention: Annotated[
        bool, typer.Option(help="Let the UNet's attention to a name add to a segment's score for it.")
    ] = True,
    withheld: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="With --nodes layout: share of labels hidden in training, so that unknown ones can be told.",
        ),
    ] = 0.2,
    void: Annotated[
        str, typer.Option(help="Void regions: segments without a name, to be found, too; or ignored.")
    ] = "segments",
    masks: Annotated[
        str,
        typer.Option(
            help="Relations are learned on annotated masks, or on both: in every second picture on found ones that fit."
        ),
    ] = "both",
    masks_from: Annotated[
        Path | None,
        typer.Option(help="Take the mask generator of this model folder or workspace as it is; learn relations only."),
    ] = None,
    mask_weight: Annotated[float, typer.Option(min=0, help="Weight of the mask loss.")] = 1.0,
    relation_weight: Annotated[float, typer.Option(min=0, help="Weight of the predicate loss.")] = 1.0,
    pair_weight: Annotated[float, typer.Option(min=0, help="Weight of the loss of P(pair).")] = 1.0,
    rqc_weight: Annotated[float, typer.Option(min=0, help="Weight of the pair matrix' loss.")] = 0.6,
    imbalance: Annotated[
        str, typer.Option(help="Rare predicates: none, adjust (logits by the log prior) or reweight.")
    ] = "none",
    imbalance_strength: Annotated[float, typer.Option(min=0, max=1, help="How much of it.")] = 0.5,
    fusion: Annotated[
        float,
        typer.Option(min=0, max=1, help="Exponent of the diffusion branch; OpenCLIP's view of regions has the rest."),
    ] = 1.0,
    epochs: Annotated[int, typer.Option(min=0, help="Epochs (0: the backbone's default).")] = 0,
    batch_size: Annotated[int, typer.Option(min=0, help="Pictures a batch (0: the backbone's default).")] = 0,
    accumulate: Annotated[int, typer.Option(min=1, help="Batches a step.")] = 1,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak learning rate (0: the default).")] = 0.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N images.")] = None,
    init: Annotated[
        str, typer.Option(help="embedded: start from the packaged heads where they fit; scratch: fresh ones.")
    ] = "embedded",
    strict: Annotated[bool, typer.Option("--strict", help="A bad record or picture is an error.")] = False,
) -> StepResult:
    """Train masks, labels and relations on the calibrated features; or relations alone, on labels and boxes."""
    from spade.steps.config import RelationsConfig
    from spade.steps.train_relations import run

    config = RelationsConfig(
        data=data,
        images=images,
        nodes=nodes,
        clip=clip,
        mode=mode,
        width=width,
        layers=layers,
        context=tuple(part.strip() for part in context.split(",") if part.strip() not in ("", "none")),
        attention=attention,
        neighbours=neighbours,
        nearness=nearness,
        selector=selector,
        geometry=geometry,
        octaves=octaves,
        places=places,
        gate=gate,
        unions=unions,
        maps=maps,
        contrast=contrast,
        edges=edges,
        dropout=dropout,
        look=look,
        pairs=pairs,
        fine=fine,
        name_attention=name_attention,
        withheld=withheld,
        void=void,
        masks=masks,
        masks_from=masks_from,
        mask_weight=mask_weight,
        relation_weight=relation_weight,
        pair_weight=pair_weight,
        rqc_weight=rqc_weight,
        imbalance=imbalance,
        imbalance_strength=imbalance_strength,
        fusion=fusion,
        epochs=epochs,
        batch_size=batch_size,
        accumulate=accumulate,
        learning_rate=learning_rate,
        limit=limit,
        init=init,
        strict=strict,
        **common.numbers,
    )
    return run(config, common.run())
