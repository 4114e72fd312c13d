"""Immutable objects with named values.

They are as frozen dataclasses, whose creation would take most of the time of the import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import inspect

    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_):
        return lambda kind: kind


class _Signature:
    """The signature of a record, for help texts and editors."""

    def __get__(self, _: Any, kind: type[Record]) -> inspect.Signature:
        from inspect import Parameter, Signature

        default = {name: getattr(kind, name, Parameter.empty) for name in kind._fields}
        found = [
            Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=default[name])
            for name in kind._fields
        ]
        return Signature(found)


@dataclass_transform(frozen_default=True)
class Record:
    """An immutable object whose values are the annotated attributes of its class.

    Values are given in order or by name; the attributes of the class are the defaults.
    """

    _fields: ClassVar[tuple[str, ...]] = ()
    if not TYPE_CHECKING:
        __signature__ = _Signature()

        def __init__(self, *values: Any, **named: Any) -> None:
            kind, fields = type(self), self._fields
            if len(values) > len(fields):
                raise TypeError(
                    f"{kind.__name__} takes {len(fields)} values; {len(values)} were given"
                )
            found = dict(zip(fields, values))
            for name, value in named.items():
                if name not in fields:
                    known = ", ".join(fields) or "no values"
                    raise TypeError(f"{kind.__name__} has no '{name}'; it has {known}")
                if name in found:
                    raise TypeError(f"{kind.__name__}: '{name}' was given twice")
                found[name] = value
            for name in fields:
                if name not in found and not hasattr(kind, name):
                    raise TypeError(f"{kind.__name__} needs '{name}'")
                self.__dict__[name] = found[name] if name in found else getattr(kind, name)
            self._check()

    def __init_subclass__(cls) -> None:
        own = (name for name in cls.__annotations__ if not name.startswith("_"))
        cls._fields = tuple(dict.fromkeys((*cls._fields, *own)))

    def _check(self) -> None:
        """Called when all values are there."""

    def replace(self, **changes: Any) -> Self:
        """Returns the object with other values of some attributes."""
        return type(self)(**{**self._values(), **changes})

    def _values(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self._fields}

    def __setattr__(self, name: str, _: Any) -> None:
        raise AttributeError(
            f"a {type(self).__name__} does not change; replace(...) returns another"
        )

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name}: a {type(self).__name__} does not change")

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), *self._values().values()))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self._values().items())
        return f"{type(self).__name__}({values})"
