"""Names with options, and what happens to names and options that nothing knows."""

import copy
import pickle

import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.registries import Registry, read_options


class Soup:
    name = "soup"

    def __init__(self, salt=1.0, hot=True):
        self.salt, self.hot = salt, hot


class Bread:
    name = "bread"

    def __init__(self):
        self.weight = 500


MEALS = Registry("meal", (Soup, Bread))


def test_options_are_numbers_truth_values_and_texts():
    assert read_options("meal", "soup") == ("soup", {})
    found = read_options("meal", "soup:salt=2, hot=False,from=garden,cups=3e-1")
    assert found == ("soup", {"salt": 2, "hot": False, "from": "garden", "cups": 0.3})
    with pytest.raises(ParameterError, match=r"meal is 'soup:salt'; expected NAME or NAME:option"):
        read_options("meal", "soup:salt")


def test_things_are_made_by_name():
    assert {"soup": Soup, "bread": Bread} == MEALS
    assert MEALS.find("soup") is Soup
    made = MEALS.make("soup:salt=3", salt=7, hot=False)
    assert (made.salt, made.hot) == (3, False)
    assert MEALS.make("bread").weight == 500


@pytest.mark.parametrize("name", ["stew", "", None, ["soup"]])
def test_unknown_names_are_refused_with_a_list(name):
    with pytest.raises(ParameterError, match=r"meal is .*; expected one of soup, bread"):
        MEALS.find(name)


def test_unknown_options_are_refused_with_a_list():
    with pytest.raises(ParameterError, match="pepper is 1; expected an option of soup: salt, hot"):
        MEALS.make("soup:pepper=1")
    with pytest.raises(ParameterError, match="expected no option: bread has none"):
        MEALS.make("bread:salt=1")


def test_what_is_added_is_known():
    meals = Registry("meal", {"soup": Soup})
    meals["cold soup"] = lambda: Soup(hot=False)
    assert not meals.make("cold soup").hot
    with pytest.raises(ParameterError, match="one of soup, cold soup"):
        meals.find("bread")


def test_copies_keep_what_they_are_for():
    for other in (pickle.loads(pickle.dumps(MEALS)), copy.deepcopy(MEALS)):
        assert other == MEALS
        with pytest.raises(ParameterError, match="meal"):
            other.find("stew")
