"""The models that installed engines can use, by name, and what may be said about their export on a command line.

Knows nothing about files or hubs, nor about any particular model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, get_args, get_origin

import click
from pydantic import ValidationError
from pydantic.fields import FieldInfo

import gateway.hooks
from engines.contract import ModelRecipe, Options
from engines.errors import near_names
from engines.registry import Registry


@dataclass(frozen=True, slots=True)
class Offered:
    """A recipe, and the kind of engine that it is for."""

    kind: str
    recipe: ModelRecipe


def offered() -> dict[str, Offered]:
    """Every recipe of every kind that is installed, by the model's name; of two with one name, the first."""
    found: dict[str, Offered] = {}
    for kind in Registry.load([gateway.hooks]).kinds.values():
        for recipe in kind.models:
            found.setdefault(recipe.name, Offered(kind.name, recipe))
    return found


def recipe_of(name: str) -> ModelRecipe:
    """The recipe for a model. Raises ClickException with near names."""
    known = offered()
    if name not in known:
        advice = near_names(name, known) if known else "no engine that is installed has any"
        raise click.ClickException(f"there is no model {name!r} that can be made; {advice}")
    return known[name].recipe


def require_packages(recipe: ModelRecipe) -> None:
    """Raises ClickException when the export would lack something: said before hours of fetching, not after."""
    lacking = [name for name in recipe.packages if find_spec(name) is None]
    if lacking:
        advice = f": `scripts/install {recipe.extra}`, or pip install 'voxgate[{recipe.extra}]'" if recipe.extra else ""
        raise click.ClickException(f"{recipe.name} needs {', '.join(lacking)}, not installed here{advice}")


class ExportCommand(click.Command):
    """A command that also takes what recipes' exports may be told: `--precision int8`, `--without-reference`."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        own = super().get_params(ctx)
        taken = {name for one in own for name in one.opts}
        return [*own[:-1], *(one for one in _options() if not taken & set(one.opts)), *own[-1:]]  # --help stays last


def export_options(recipe: ModelRecipe, given: Mapping[str, Any]) -> Options:
    """What was given on the command line, as the recipe's own options. Raises UsageError for what it does not take."""
    try:
        return recipe.options.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]).replace("_", "-")
        if first["type"] == "extra_forbidden":
            raise click.UsageError(f"the export of {recipe.name} has no option {name}") from None
        raise click.UsageError(f"{name}: {first['msg']}") from None


def _options() -> Iterator[click.Option]:
    """A command line option for each name that recipes have an option of; what it may be is what any of them takes."""
    named: dict[str, dict[str, FieldInfo]] = {}
    for one in offered().values():
        for name, field in one.recipe.options.model_fields.items():
            named.setdefault(name, {})[one.recipe.name] = field
    return (_option(name, fields) for name, fields in named.items())


def _option(name: str, fields: Mapping[str, FieldInfo]) -> click.Option:
    """`fields`: by model. Not given is None, so that only what was said reaches the recipe."""
    flag, some = name.replace("_", "-"), list(fields.values())
    about = "; ".join(f"{field.description or 'see the documentation'} ({model})" for model, field in fields.items())
    if all(field.annotation is bool for field in some):
        if all(field.default is True for field in some):
            return click.Option([f"--without-{flag}", name], flag_value=False, default=None, help=f"Leave out {about}.")
        return click.Option([f"--{flag}", name], flag_value=True, default=None, help=_sentence(about))
    choices = [get_args(field.annotation) if get_origin(field.annotation) is Literal else () for field in some]
    every = dict.fromkeys(str(one) for group in choices for one in group)
    return click.Option(
        [f"--{flag}", name], type=click.Choice(list(every)) if all(choices) else click.STRING, help=_sentence(about)
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
