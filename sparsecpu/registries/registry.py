"""One mechanism for everything that users choose by name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from sparsecpu.errors import ParameterError
from sparsecpu.registries.names import find_name, read_name, suggested
from sparsecpu.registries.options import read_options, spelled_options

T = TypeVar("T")

#: What docstrings of functions begin with.
_VERBS = re.compile(r"^(Describe|Draw|Generate|Load|Make|Return) (what is )?")
#: Marks of reStructuredText and LaTeX, and what stands for them in plain text.
_PLAIN = (
    (r":\w+:", ""), (r"[`*$]", ""), (r"\\[,;!]", " "), (r"\\[|]", "|"), (r"\\([A-Za-z]+)", r"\1"),
    ("{", "("), ("}", ")"),
)  # fmt: skip


class Registry(dict[str, T]):
    """Things by name: a dictionary that refuses what it does not know and lists what it does.

    ``what`` is the argument with which users choose one. ``things`` are a mapping, or only things
    where each carries its ``name``. ``listed`` is the list that ``sparsecpu list`` shows them in,
    and ``about`` has a sentence for each of those whose docstring does not begin with a fitting
    one.
    """

    def __init__(
        self, what: str, things: Any = (), listed: str = "", about: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.what, self.listed, self.about = what, listed, dict(about or {})
        named = things if isinstance(things, Mapping) else {thing.name: thing for thing in things}
        for name, thing in named.items():
            self[name] = thing

    def __setitem__(self, name: str, thing: T) -> None:
        same = find_name(name, self)
        if same not in (None, name):
            raise ParameterError(self.what, name, f"a name that does not read like {same}")
        super().__setitem__(name, thing)

    def __reduce__(self) -> Any:  # a dict's own would leave out what it is for
        return Registry, (self.what, dict(self), self.listed, self.about)

    def name_of(self, name: Any) -> str:
        """Return a name as it is registered, however the user has written it."""
        return read_name(self.what, name, self, self.listed)

    def find(self, name: Any) -> T:
        """Return what has this name."""
        return self[self.name_of(name)]

    def spelled(self, text: Any) -> str:
        """Return ``"NAME:option=value"`` with the names as they are registered.

        What has options whose values are names says which in its ``choices``.
        """
        name, colon, options = text.partition(":") if isinstance(text, str) else (text, "", "")
        found = self.name_of(name)
        thing: Any = self[found]
        choices = getattr(thing, "choices", None)
        return found + colon + spelled_options(options, parameters_of(thing), choices)

    def made(self, given: Any) -> Any:
        """Return what a text names, made; anything else as it is."""
        return self.make(given) if isinstance(given, str) else given

    def sentence(self, name: str) -> str:
        """Return in a sentence what a name stands for."""
        if name in self.about:
            return self.about[name]
        thing: Any = self[name]
        return first_sentence(getattr(thing, "func", thing))

    def make(self, text: str, **defaults: Any) -> Any:
        """Call what ``"NAME:option=value"`` names; its options win over the ``defaults``."""
        name, options = read_options(self.what, self.spelled(text))
        thing: Any = self[name]
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
    known = [option for option in parameters_of(thing) if option not in given]
    read: dict[str, Any] = {}
    for option, value in options.items():
        found = find_name(option, known)
        if found is None:
            takes = f"an option of {name}: {', '.join(known)}{suggested(option, known)}"
            raise ParameterError(option, value, takes if known else f"no option: {name} has none")
        read[found] = value
    return partial(thing, **read) if read else thing


def parameters_of(thing: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments that a class or function takes."""
    return list(inspect.signature(thing).parameters)


def first_sentence(thing: Any) -> str:
    """Return the first sentence of a docstring in plain text, without the verb that it begins with.

    That is what a thing is. Where python -OO leaves no docstring, it is empty.
    """
    text = " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())
    text = _VERBS.sub("", re.split(r"(?<=[.])\s(?=[A-Z])", text)[0])
    for pattern, plain in _PLAIN:
        text = re.sub(pattern, plain, text)
    return text if text[1:3] == " =" else text[:1].upper() + text[1:]
