"""``python -m spade``: the command line, for launchers that start modules (torchrun, accelerate)."""

from spade_cli.app import app

app(prog_name="spade")
