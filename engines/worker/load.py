"""From a duty to an engine: finds the kind, checks its options, creates, inside the worker process.

Knows nothing about sockets or about starting and stopping.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from engines.contract import Engine, Instance
from engines.errors import Unavailable
from engines.registry import Registry
from engines.worker.spec import Duty


def create_engine(duty: Duty) -> Engine:
    """Build the engine without loading it. Raises `Unavailable` when its plugin or its options are no good."""
    registry = Registry.load(only=duty.kind)
    try:
        kind = registry.kinds[duty.kind]
    except KeyError:
        broken = "; ".join(f"{plugin.name} {plugin.error}" for plugin in registry.plugins if plugin.error)
        raise Unavailable(f"there is no engine kind {duty.kind!r}" + (f" ({broken})" if broken else "")) from None
    try:
        options = kind.options.model_validate(duty.options, context={"kinds": registry.kinds})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Unavailable(f"option {place} of kind {duty.kind!r}: {first['msg']}") from None
    instance = Instance(duty.instance, duty.slots, Path(duty.data_dir), in_worker=True, kinds=registry.kinds)
    return kind.create(instance, options)
