"""Whether a dashboard is what Grafana's published schema says.

Owns the strictness. The models of Grafana's foundation SDK are generated from the schema that
Grafana itself is built with, but they read leniently: a field that they do not know is dropped, a
value of another type is kept. So what comes out again is compared with what went in, and every
value with the type that its model declares.
"""

import enum
import json
import types
import typing

from grafana_foundation_sdk.cog import plugins, runtime
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

plugins.register_default_plugins()


def faults(document: dict) -> list[str]:
    """What the schema says against the dashboard; nothing when it is one."""
    found = []
    for panel in _panels(document):
        kind = panel.get("type", "")
        if kind != "row" and runtime.panelcfg_config(kind) is None:
            found.append(f"panel {panel.get('title')!r}: no panel of type {kind!r}")
    if found:
        return found
    try:
        model = models.Dashboard.from_json(document)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        return [f"cannot be read: {type(error).__name__}: {error}"]
    again = json.loads(json.dumps(model, cls=JSONEncoder))
    _lost(document, again, "dashboard", found)
    _mistyped(model, type(model), "dashboard", found)
    return found


def _panels(document: dict):
    for panel in document.get("panels", []):
        yield panel
        yield from panel.get("panels", [])


def _lost(given, kept, place: str, found: list[str]) -> None:
    """Whatever was given and is not kept is not in the schema."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for name, value in given.items():
            if name in kept:
                _lost(value, kept[name], f"{place}.{name}", found)
            elif value is not None:
                found.append(f"{place}.{name}: no such field")
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for index, pair in enumerate(zip(given, kept)):
            _lost(*pair, f"{place}[{index}]", found)
    elif given != kept:
        found.append(f"{place}: {given!r} became {kept!r}")


def _mistyped(value, declared, place: str, found: list[str]) -> None:
    """The value's type against the declared one, through all that the value holds."""
    model = next((it for it in _members(declared) if hasattr(it, "from_json")), None)
    if isinstance(value, dict) and model is not None:
        # Some lists of models are left as they came.
        made = model.from_json(value)
        _lost(value, json.loads(json.dumps(made, cls=JSONEncoder)), place, found)
        value = made
    if not _fits(value, declared):
        found.append(f"{place}: {value!r} is no {declared}")
    elif isinstance(value, list):
        inner = next((a for d in _members(declared) for a in typing.get_args(d)), typing.Any)
        for index, item in enumerate(value):
            _mistyped(item, inner, f"{place}[{index}]", found)
    elif hasattr(value, "__dict__") and not isinstance(value, enum.Enum):
        hints = typing.get_type_hints(type(value))
        for name, inner in vars(value).items():
            _mistyped(inner, hints.get(name, typing.Any), f"{place}.{name}", found)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _mistyped(inner, typing.Any, f"{place}.{name}", found)


def _members(declared):
    """What a union allows, or the type itself; the variable's aliases among them."""
    if typing.get_origin(declared) in (typing.Union, types.UnionType):
        return [inner for member in typing.get_args(declared) for inner in _members(member)]
    return [declared]


def _fits(value, declared) -> bool:
    return any(_is(value, member) for member in _members(declared))


def _is(value, declared) -> bool:
    if declared in (typing.Any, object):
        return True
    if declared is type(None):
        return value is None
    if typing.get_origin(declared) is typing.Literal:
        return value in typing.get_args(declared)
    if typing.get_origin(declared) is list:
        return isinstance(value, list)
    if typing.get_origin(declared) is dict:
        return isinstance(value, dict)
    if not isinstance(declared, type):
        return True
    if issubclass(declared, enum.Enum):
        return value in {member.value for member in declared}
    if declared in (int, float):
        numbers = (int,) if declared is int else (int, float)
        return isinstance(value, numbers) and not isinstance(value, bool)
    return isinstance(value, declared)
