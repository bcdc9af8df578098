"""``python -m tests.kills``: end runs, resume them, and compare bytes."""

import tempfile

import click

from tests.kills.campaign import Campaign
from tests.kills.variants import available


@click.command()
@click.option("--count", default=60, show_default=True, help="How many runs to end.")
@click.option("--variant", "names", multiple=True, type=click.Choice(sorted(available())),
              help="What is run; may be given more than once.  [default: everything]")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Another seed, other cases.")
@click.option("--workers", default=1, show_default=True, help="Cases at the same time.")
@click.option("--case", "number", type=int, help="Do this case alone, with the same variants.")
def main(count, names, seed, workers, number):
    """End runs at random moments and writes; exit 1 if one goes on to anything else."""
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(names, seed=seed, folder=folder, say=say)
        if number is not None:
            say(campaign.one(number), always=True)
        else:
            campaign.run(count, workers)
    for title, counts in (("ended", campaign.ends), ("cases", campaign.done)):
        words = ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))
        click.echo(f"{title} {sum(counts.values())}: {words}")
    click.echo(f"finds {len(campaign.faulty)} (seed {seed})")
    raise SystemExit(1 if campaign.faulty else 0)


def say(case, always=False):
    """Print a case with a fault at once, and others as a sign that it goes on."""
    click.echo(str(case), err=not (case.faults or always))


if __name__ == "__main__":
    main()
