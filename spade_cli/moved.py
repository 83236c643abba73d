"""Options of earlier versions, and where each went."""

from __future__ import annotations

_NOT_USED = {
    "--seed": "draws nothing at random",
    "--device": "computes nothing on a device",
    "--dtype": "computes nothing in a number format of choice",
    "--force": "keeps no result",
    "--from": "takes no input artifact",
}
_SETTINGS: dict[str, dict[str, str]] = {
    "invert": dict.fromkeys(("grids", "read", "latents", "keep", "counterfactual"), ""),
    "calibrate": dict.fromkeys(
        ("alpha", "targets", "alignment", "tokens", "timestep", "counterfactual", "accumulate"), ""
    ),
    "train-relations": {
        **dict.fromkeys(
            (
                *("width", "layers", "context", "attention", "neighbours", "nearness", "selector", "geometry", "edges"),
                *(
                    "dropout",
                    "look",
                    "pairs",
                    "fine",
                    "name-attention",
                    "mask-weight",
                    "relation-weight",
                    "pair-weight",
                ),
                *("rqc-weight", "fusion", "accumulate"),
            ),
            "",
        ),
        "octaves": "fourier_bands",
        "places": "positional_encoding",
        "void": "unlabeled_regions",
        "masks": "mask_source",
        "imbalance": "logit_adjustment (adjust) or reweighting (reweight)",
        "imbalance-strength": "logit_adjustment (adjust) or reweighting (reweight)",
    },
    "predict": {"fusion": "", "novel-odds": "unseen_odds", "balance": "logit_adjustment"},
    "eval": {"fusion": "", "novel-odds": "unseen_odds", "balance": "logit_adjustment"},
}
_BOXES = {
    "--nodes": "relations of labels and boxes are trained by: spade train-boxes DATA",
    "--clip": "an OpenCLIP model for relations of labels and boxes goes to: spade train-boxes DATA --clip; "
    "the one of images to: spade invert --clip",
    "--withheld": "went to: spade train-boxes DATA --set label_dropout=0.2",
}
_GONE = ("--gate", "--unions", "--maps", "--contrast")


def where_it_went(command: str, option: str) -> str | None:
    """A sentence about an option that this command no longer has; None for one that it never had."""
    name = option.removeprefix("--").removeprefix("no-")
    if command == "train-relations":
        if option in _BOXES:
            return f"{option}: {_BOXES[option]}"
        if f"--{name}" in _GONE:
            return f"{option}: measured level with the default and is gone (docs/results/stage-2.md); leave it out."
    if name in _SETTINGS.get(command, {}):
        new = _SETTINGS[command][name] or name.replace("-", "_")
        value = "" if " " in new else "=VALUE"
        return f"{option}: is a setting of the method now: --set {new}{value} (--set help lists them all)."
    if option in _NOT_USED:
        return f"{option}: spade {command} {_NOT_USED[option]}; leave it out."
    return None
