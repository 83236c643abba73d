"""A command: messages of the library in the command's own words, and options that have moved."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

from typer.core import TyperCommand

from spade.core.errors import SpadeError
from spade_cli.moved import where_it_went

CURRENT: ContextVar[Any] = ContextVar("the command that runs", default=None)


class SpadeCommand(TyperCommand):
    """Spells the parameters that a message names as options of this command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, after telling where a moved option went."""
        asked = [argument.removeprefix("--set=") for argument in args if argument.startswith("--set=")]
        asked += [value for option, value in pairwise(args) if option == "--set"]
        list_settings = getattr(self.callback, "list_settings", None)
        if "help" in asked and list_settings is not None:  # whatever else is missing
            list_settings()
            ctx.exit()
        known = {option for parameter in self.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for argument in args:
            option = argument.partition("=")[0]
            if option == "--":
                break
            if option.startswith("--") and option not in known:
                moved = where_it_went(str(ctx.info_name), option)
                if moved is not None:
                    raise SpadeError(moved)
        return list(super().parse_args(ctx, args))

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        CURRENT.set(ctx)
        try:
            return super().invoke(ctx)
        except SpadeError as error:
            raise SpadeError(spelled_by(ctx)(str(error))) from None


def spelled_by(ctx: Any) -> Callable[[str], str]:
    """Messages in the words of the command that a context is of; as they are where there is none."""
    if ctx is None:
        return str

    def spell(message: str) -> str:
        options = {
            str(parameter.name): (parameter.opts, parameter.secondary_opts)
            for parameter in ctx.command.params
            if parameter.param_type_name == "option"
        }
        settings: Collection[str] = getattr(ctx.command.callback, "settings", frozenset)()
        return spelled(message, options, settings)

    return spell


def spelled(message: str, options: Mapping[str, tuple[list[str], list[str]]], settings: Collection[str] = ()) -> str:
    """A message with "`name=value`" as "--name value", or as "--set name=value" where that is how it is given."""

    def spell(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        if name in options:
            on, off = options[name]
            flag = max(on, key=len)
            if off or value in ("True", "False"):
                return max(off, key=len) if value == "False" and off else flag
            return flag if value is None else f"{flag} {value}"
        text = name if value is None else f"{name}={value}"
        return f"--set {text}" if name in settings else text

    return re.sub(r"`(\w+)(?:=([^`]*))?`", spell, message)
