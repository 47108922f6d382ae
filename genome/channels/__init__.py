"""What each channel delivers: one file per channel, and nothing else to register.

`registry()` finds every module of this package that defines `CONNECTOR`.
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from genome.channels.contract import Connector
from genome.errors import UsageError


@cache
def registry() -> dict[str, Connector]:
    """Every connector by its name, in the order of the names (light: standard library only)."""
    found: dict[str, Connector] = {}
    for module in iter_modules(__path__):
        connector = getattr(import_module(f"{__name__}.{module.name}"), "CONNECTOR", None)
        if connector is None:
            continue
        if connector.name != module.name:
            raise ValueError(f"genome/channels/{module.name}.py defines the connector '{connector.name}'")
        found[connector.name] = connector
    return dict(sorted(found.items()))


def connector(name: str) -> Connector:
    """The connector of one channel or feed; an unknown name is a wrong call, and the error lists them all."""
    try:
        return registry()[name]
    except KeyError:
        raise UsageError(
            f"There is no channel '{name}'.", f"Choose one of: {', '.join(registry())}."
        ) from None
