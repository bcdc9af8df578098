"""Help: options in groups, rare ones apart, as wide as the terminal."""

import re

import click
import pytest
from commands import run

from sparsecpu.cli import COMMANDS, main
from sparsecpu.cli.grouped_help import GROUPS, USUAL_GROUP, Command, option


def shown(*words, columns=80):
    done = run(*(words or ["--help"]), env={"COLUMNS": str(columns)})
    assert done.exit_code == 0, done.output
    return done.stdout


def groups(text):
    """The options of each group, as help shows them."""
    found, members = {}, []
    for line in text.splitlines():
        if title := re.fullmatch(r"(\w+):", line):
            members = found.setdefault(title[1].lower(), [])
        elif flag := re.match(r"  (?:-h, )?(--[\w-]+)", line):
            members.append(flag[1])
    return found


def every_command():
    found = [((), main)]
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        found.append(((name,), command))
        found += [((name, inner), c) for inner, c in getattr(command, "commands", {}).items()]
    return found


EVERY = pytest.mark.parametrize(("words", "command"), every_command(), ids=lambda w: str(w))


def test_options_of_train_stand_in_groups_and_the_rare_ones_apart():
    usual, everything = groups(shown("train", "--help")), groups(shown("train", "--help-all"))
    assert list(usual) == list(everything) == [*GROUPS, "help"]
    assert "--density" in usual["sparsity"]
    assert "--samples" in usual["data"]
    assert "--lean" in everything["network"]
    assert "--lean" not in usual["network"]
    for group, members in usual.items():
        assert [flag for flag in everything[group] if flag in members] == members


@EVERY
def test_every_option_is_shown_once(words, command):
    rare = any(getattr(known, "rare", False) for known in command.params)
    text = shown(*words, "--help-all" if rare else "--help")
    flags = [flag for members in groups(text).values() for flag in members]
    known = [p.opts[0] for p in command.params if isinstance(p, click.Option)]
    assert sorted(flags) == sorted([*known, "--help"])


@pytest.mark.parametrize("columns", [40, 80])
@EVERY
def test_help_fits_the_terminal(words, command, columns):
    long = [line for line in shown(*words, "--help", columns=columns).splitlines()
            if len(line) > columns and not re.search(r"\S{30,}|^  sparsecpu ", line)]  # fmt: skip
    assert long == []


def test_no_name_is_broken_in_two():
    assert "weight-\n" not in shown("train", "--help", columns=57)
    assert "--weight-decay 0.1" in " ".join(shown("train", "--help", columns=57).split())


def test_the_list_of_commands_says_what_each_says_itself():
    lines = " ".join(shown(columns=400).split())
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert f"{name} {command.get_short_help_str()}" in lines


def test_an_option_without_a_group_has_a_place():
    @click.command("try", cls=Command)
    @option("--far", group="distance", help="How far.")
    @option("--deep", group="data", rare=True, help="How deep.")
    @click.option("--plain", help="Made by click itself.")
    def tried(**_):
        pass

    found = groups(click.testing.CliRunner().invoke(tried, ["--help"]).stdout)
    assert found == {
        "distance": ["--far"], USUAL_GROUP: ["--plain"], "help": ["--help-all", "--help"]
    }  # fmt: skip
