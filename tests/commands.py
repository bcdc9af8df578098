"""The command line, called in this process or in one of its own."""

import subprocess
import sys

from click.testing import CliRunner

from sparsecpu.cli import main

TINY = ["--model", "40", "--density", "0.5", "--epochs", "3", "--no-dense-timing", "--quiet"]


def run(*args, **options):
    return CliRunner().invoke(main, [str(a) for a in args], **options)


def process(*args, **options):
    command = [sys.executable, "-m", "sparsecpu", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)
