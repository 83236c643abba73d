"""``python -m spade_cli``, for launchers that start modules (torchrun, accelerate)."""

from spade_cli.app import app

app(prog_name="spade")
