"""``fishbone VERB``: each verb lives in the module of its own name and is imported when called.

Exit codes: 0 done, 1 the work failed, 2 the input is wrong (the message says how to mend it). An error of the package's
own is one line.
"""

import gc
import importlib
import sys

import click

from fishbone.errors import FishboneError, InputError
from fishbone.provenance.sources import digest

VERBS = {
    "prepare": ("fishbone.stages.prepare", "Turn a named data source into canonical arrays."),
    "train": ("fishbone.stages.train", "Train a network; resumes from its checkpoint."),
    "prune": ("fishbone.stages.prune", "Prune a trained network to several sparsities."),
    "federate": ("fishbone.stages.federate", "Train over horizontal and vertical devices."),
    "gan": ("fishbone.stages.gan", "Train a GAN whose discriminators are split over devices."),
    "export": ("fishbone.stages.export", "Export a network to ONNX and check the file."),
    "bench": ("fishbone.stages.bench", "Measure exported networks on devices."),
    "device": ("fishbone.bench.devices.command", "List, check, add and provision devices to measure on."),
    "report": ("fishbone.stages.report", "Write claims, tables, figures and the HTML page."),
    "claims": ("fishbone.provenance.claims", "Print what a study's claims came to."),
    "params": ("fishbone.provenance.params", "Print a study's parameters, checked."),
    "reproduce": ("fishbone.provenance.reproduce", "Run a study: adopt, run, record, track."),
    "generate": ("fishbone.provenance.generate", "Write dvc.yaml from the Snakefile."),
    "adopt": ("fishbone.provenance.adopt", "Tell Snakemake which restored results still hold."),
    "record": ("fishbone.provenance.record", "Write the hashes of finished results to dvc.lock."),
    "pull": ("fishbone.provenance.pull", "Bring one study's recorded results."),
    "publish": ("fishbone.provenance.publish", "Copy small recorded results to recorded/, which git keeps."),
    "clean": ("fishbone.provenance.clean", "Remove what a study made here."),
    "track": ("fishbone.provenance.track", "Log a study's metrics to MLflow."),
}


class LazyGroup(click.Group):
    """Imports a verb's module only when that verb runs, so that help is quick."""

    def list_commands(self, ctx):
        """All verbs, in the order of the help."""
        return list(VERBS)

    def get_command(self, ctx, name):
        """The verb's command, whose module is imported now; None where there is no such verb."""
        if name not in VERBS:
            return None
        module = importlib.import_module(VERBS[name][0])
        if hasattr(module, "__path__"):
            module = importlib.import_module(f"{module.__name__}.command")
        return module.command

    def resolve_command(self, ctx, args):
        """The verb that the words ask for; an unknown one ends with the list of all."""
        if args and args[0] not in VERBS:
            ctx.fail(f"No such verb {args[0]!r}. Verbs: {', '.join(VERBS)}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx, formatter):
        """Write the verbs with a line each, without importing any."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="fishbone")
@click.option("--sources", metavar="DIGEST", hidden=True, help="Stop unless these are the verb's sources.")
@click.pass_context
def cli(context: click.Context, sources: str | None) -> None:
    """Learning under tight resources: prune, federate, split and measure, end to end."""
    if sources and context.invoked_subcommand and sources != digest(context.invoked_subcommand):
        remedy = "Start the run again, and leave src/ alone while it plans."
        raise InputError("have changed since the run was planned", field="sources", value=sources, remedy=remedy)


def main() -> None:
    """Run the program; what a person can mend ends it with one line and exit code 2."""
    # Importing torch with an optimiser makes half a million objects; with Python's threshold of 700 the collector runs
    # 700 times meanwhile: 1 to 2 of a job's seconds.
    gc.set_threshold(50_000, 20, 20)
    try:
        cli(prog_name="fishbone")
    except FishboneError as error:
        click.echo(f"fishbone: {error}", err=True)
        sys.exit(2 if isinstance(error, InputError) else 1)
    except OSError as error:
        if error.errno is None:
            raise
        place = "" if error.filename is None else f"{error.filename}: "
        click.echo(f"fishbone: {place}{error.strerror}", err=True)
        sys.exit(1)
