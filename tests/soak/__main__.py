"""``python -m tests.soak --minutes 30``."""

import tempfile

import click

from tests.soak.soak import soak


@click.command()
@click.option("--minutes", default=1.0, show_default=True, help="How long.")
@click.option("--warm-up", default=0.2, show_default=True, help="Part of it before it counts.")
def main(minutes, warm_up):
    """Use everything again and again; exit 1 if memory, open files, threads or files grow."""
    with tempfile.TemporaryDirectory() as folder:
        found = soak(60 * minutes, folder, warm_up=warm_up, say=lambda t: click.echo(t, err=True))
    click.echo(found.report())
    raise SystemExit(1 if found.faults else 0)


if __name__ == "__main__":
    main()
