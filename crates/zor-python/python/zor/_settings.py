"""Settings of tasks, given as keyword arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

# Settings that are tables of their own, such as `detection.noise`.
_TABLES = ("detection", "augmentation", "rule_settings", "reading", "translation", "views")


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings as a TOML file has them. Those that are `None` are left out.

    `detection_noise=0.1` is the key `noise` of the table `detection`.
    """
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if value is None:
            continue
        table = next((name for name in _TABLES if key.startswith(f"{name}_")), None)
        if table is None or key == "rule_settings":
            _merge(found, key, plain(value))
        else:
            inner = found.setdefault(table, {})
            inner[key[len(table) + 1 :]] = plain(value)
    return found


def _merge(found: dict[str, Any], key: str, value: Any) -> None:
    if isinstance(value, dict):
        found.setdefault(key, {}).update(value)
    else:
        found[key] = value


def plain(value: Any) -> Any:
    """Returns a value as JSON has it."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value
