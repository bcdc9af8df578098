"""One mechanism for everything that users choose by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from sparsecpu.errors import ParameterError
from sparsecpu.registries.options import read_options

T = TypeVar("T")


class Registry(dict[str, T]):
    """Things by name: a dictionary that refuses what it does not know and lists what it does.

    ``what`` is the argument with which users choose one. ``things`` are a mapping, or only things
    where each carries its ``name``.
    """

    def __init__(self, what: str, things: Any = ()) -> None:
        named = things if isinstance(things, Mapping) else {thing.name: thing for thing in things}
        super().__init__(named)
        self.what = what

    def __reduce__(self) -> Any:  # a dict's own would leave out ``what``
        return Registry, (self.what, dict(self))

    def find(self, name: str) -> T:
        """Return what has this name."""
        if not isinstance(name, str) or name not in self:
            raise ParameterError(self.what, name, f"one of {', '.join(self)}")
        return self[name]

    def make(self, text: str, **defaults: Any) -> Any:
        """Call what ``"NAME:option=value"`` names; its options win over the ``defaults``."""
        name, options = read_options(self.what, text)
        thing: Any = self.find(name)
        made: Any = with_options(name, thing, {**defaults, **options})
        try:
            return made()
        except ParameterError as error:
            if error.name not in options:
                raise
            raise ParameterError(f"{error.name} of {name}", error.value, error.expected) from None
        except TypeError:
            expected = f"options of the right type for {name}, such as numbers where it has numbers"
            raise ParameterError(self.what, text, expected) from None


def with_options(
    name: str, thing: Callable[..., T], options: Mapping[str, Any], given: Iterable[str] = ()
) -> Callable[..., T]:
    """Return a class or function with options bound, after a check that it takes them.

    ``given`` are arguments that the caller fills, which are not for users.
    """
    known = [option for option in inspect.signature(thing).parameters if option not in given]
    for option, value in options.items():
        if option not in known:
            takes = f"an option of {name}: {', '.join(known)}"
            raise ParameterError(option, value, takes if known else f"no option: {name} has none")
    return partial(thing, **options) if options else thing
