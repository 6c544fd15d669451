"""The command line: one command per stage, and a few that handle a night as a whole. Contains no logic."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel

from ecclip import pipeline
from ecclip.bench.commands import bench_app
from ecclip.core import ConfigError, Terminal, parse_night, run_command, settings
from ecclip.nights import add_night, known_nights
from ecclip.renames import COMMANDS
from ecclip.review.commands import review_app

_HELP = "Product understanding from a shop's nightly dump. Works in the current folder, or in ECCLIP_WORKSPACE."
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=_HELP)
release_app = typer.Typer(
    no_args_is_help=True,
    help="Which model answers: register, gate, bless, promote, roll back; answers for the catalog.",
)
pipeline_app = typer.Typer(no_args_is_help=True, help="Files that follow from the stages and their order.")
nights_app = typer.Typer(no_args_is_help=True, help="The nights of this workspace.")
registry_app = typer.Typer(no_args_is_help=True, help="Versions, lineage, metrics of trainings; two stages.")
output = Terminal(soft_wrap=True)

BuilderName = Literal["tensorrt", "rtx"]
Night = Annotated[str, typer.Option(parser=parse_night, help="The night, an ISO date: 2026-11-01")]
NightArgument = Annotated[str, typer.Argument(parser=parse_night, help="The night, an ISO date: 2026-11-01")]


def _show(value: Any) -> None:
    output.print_value(value.model_dump() if isinstance(value, BaseModel) else value)


@app.command()
def run(stage: Annotated[str, typer.Argument(help=", ".join(pipeline.STEPS))], night: Night) -> None:
    """Run one stage for one night; equal inputs and parameters make it "unchanged"."""
    _show(pipeline.run_stage(stage, night))


def _stage_command(name: str) -> Callable[[str], None]:
    def command(night: Night) -> None:
        _show(pipeline.run_stage(name, night))

    command.__doc__ = f"Run the stage {name} for one night."
    return command


_ROOMS: dict[str, typer.Typer] = {"registry": registry_app}
for _name, _step in pipeline.STEPS.items():
    _room = _ROOMS.setdefault(_step.room, typer.Typer(no_args_is_help=True, help=f"Stages and tools of {_step.room}."))
    _room.command(_name.replace("_", "-"))(_stage_command(_name))
for _name, _room in _ROOMS.items():
    app.add_typer(_room, name=_name)
app.add_typer(release_app, name="release")
app.add_typer(nights_app, name="nights")
app.add_typer(pipeline_app, name="pipeline")
app.add_typer(bench_app, name="bench")
app.add_typer(review_app, name="review")


@nights_app.command("add")
def nights_add(
    night: Annotated[list[str], typer.Argument(parser=parse_night, help="Nights, ISO dates: 2026-11-01 2026-11-02")],
) -> None:
    """Enter nights into work/nights.yaml, from which dvc.yaml takes them; the stage extract does so by itself."""
    for one in sorted(night):
        add_night(one)


@nights_app.command("list")
def nights_list() -> None:
    """Print the nights, each with the previous night it is compared with."""
    _show(known_nights())


@nights_app.command("restore")
def nights_restore(night: NightArgument) -> None:
    """Restore a night's snapshot from DVC's cache or remote, and verify every file of it."""
    from ecclip.registry import restore_snapshot

    _show({"snapshot": str(restore_snapshot(night))})


@app.command()
def sample(
    folder: Annotated[Path | None, typer.Option(help="Where dumps/ and truth/ are written; default: work/")] = None,
    nights: Annotated[int | None, typer.Option(help="Nights in a row")] = None,
    listings: Annotated[int | None, typer.Option(help="Listings per night")] = None,
    seed: Annotated[int | None, typer.Option(help="Equal seeds make equal bytes")] = None,
) -> None:
    """Make a sample dump: a small, messy marketplace over a few nights, with the ground truth."""
    from ecclip.local import sample_config
    from ecclip.sample import generate

    cfg = sample_config(nights=nights, listings=listings, seed=seed)
    _show({"dumps": [str(path) for path in generate(cfg, folder or settings().work)]})


@_ROOMS["catalog"].command("map")
def map_command(
    source: Annotated[str, typer.Argument(help="File or folder of the foreign dump (any fsspec URL)")],
    mapping: Annotated[str, typer.Option(help="mapping.yaml, or the name of a shipped one: shopify, magento ...")],
    night: Night,
    limit: Annotated[int | None, typer.Option(help="Map only this many rows, to try a mapping")] = None,
) -> None:
    """Turn a shop's own export into the dump contract, below work/dumps/<night>.

    It prints the outcome of every row and photo: rows read = listings + dropped rows by reason. Rows that cannot be
    used are in the dump with their reason and text; ingest quarantines them. docs/mapping.md has every key.
    """
    from ecclip.catalog.mapping.map_dump import map_dump

    _show(map_dump(Path(mapping), source, settings().work / "dumps" / night, night, limit))


@_ROOMS["catalog"].command("trace")
def catalog_trace(
    listing_id: Annotated[str, typer.Argument(help="The listing_id, as the dump has it")],
    night: Annotated[
        str | None, typer.Option(parser=parse_night, help="Only this night; default: all, the newest first")
    ] = None,
) -> None:
    """Print what became of a listing, night by night: input, changes, group with evidence, snapshots and models."""
    from ecclip.lineage import trace_everywhere

    _show(trace_everywhere(listing_id, night))


_STEPS = {
    "register": "Enter the night's bundle into the registry as @challenger.",
    "gate": "Compare the challenger with the champion; a refusal is an error.",
    "bless": "Load the bundle next to the live one and verify its answers to the golden listings.",
    "promote": "Make the blessed bundle live and move @champion to it.",
    "retrain": "Train a night from the pretrained weights, beside its own training; the bundle becomes @challenger.",
}


def _release_command(name: str) -> Callable[[str], None]:
    def command(night: Night) -> None:
        from ecclip import release

        _show(getattr(release, f"{name}_night")(night))

    command.__doc__ = _STEPS[name]
    return command


for _name in _STEPS:
    release_app.command(_name)(_release_command(_name))


_GROUPS = {**_ROOMS, "release": release_app, "nights": nights_app, "pipeline": pipeline_app, "bench": bench_app}
# commands without arguments: what they call, and what their help says; a text is printed as it is
_PLAIN = {
    "release reconcile": (
        "ecclip.release:reconcile",
        "Grant or refuse a moved @champion; make alias, live.json and servers agree.",
    ),
    "nights reconcile": (
        "ecclip.release:catch_up",
        "Do here what the nights still lack: training, verdict, products, answers.",
    ),
    "registry rebuild": (
        "ecclip.release:rebuild_registry",
        "Enter the bundles of work/bundles that a lost or older registry lacks.",
    ),
    "catalog mapping-keys": (
        "ecclip.catalog.mapping.reference:mapping_reference",
        "Print every key of a mapping.yaml as the tables of docs/mapping.md.",
    ),
    "catalog contract": (
        "ecclip.catalog.dump.contract:contract_table",
        "Print the dump contract as the table of docs/dump.md.",
    ),
    "pipeline dvc": ("ecclip.dvc_yaml:dvc_yaml", "Print dvc.yaml: ecclip pipeline dvc > dvc.yaml."),
    "house": ("ecclip.house:picture", "Print the packages (rooms) and who imports whom (docs/architecture.md)."),
    "parameters": ("ecclip.parameters:page", "Print every parameter and every setting (docs/parameters.md)."),
    "renames": ("ecclip.renames:renames_page", "Print what was renamed (docs/renames.md)."),
}


def _plain_command(function: str, text: str) -> Callable[[], None]:
    def command() -> None:
        module, _, name = function.partition(":")
        value = getattr(importlib.import_module(module), name)()
        if isinstance(value, str):
            typer.echo(value, nl=not value.endswith("\n"))
        else:
            _show(value)

    command.__doc__ = text
    return command


for _command, (_function, _text) in _PLAIN.items():
    _group, _, _name = _command.rpartition(" ")
    _GROUPS.get(_group, app).command(_name)(_plain_command(_function, _text))


@release_app.command("answers")
def release_answers(
    night: Annotated[str | None, typer.Option(parser=parse_night, help="Default: the newest published night")] = None,
) -> None:
    """Let the bundle that answers now answer every listing of a night: a table below work/answers."""
    from ecclip.release import answer_catalog

    _show(answer_catalog(night))


@release_app.command("rollback")
def release_rollback(
    to: Annotated[str | None, typer.Option(help="Version number in the registry; default: the champion before")] = None,
    reason: Annotated[str, typer.Option(help="Why; it is kept on the versions and in the audit file")] = "",
) -> None:
    """Let an earlier champion answer again, as moving @champion to it in the MLflow UI does."""
    from ecclip.release import roll_back

    _show(roll_back(to, reason))


@_ROOMS["serving"].command("build-engine")
def serving_build_engine(
    night: Night,
    builder: Annotated[
        BuilderName, typer.Option(help="tensorrt: on the GPU that serves; rtx: TensorRT-RTX, without a GPU")
    ] = "tensorrt",
    capability: Annotated[str, typer.Option(help="The compute capability that rtx builds for")] = "8.9",
) -> None:
    """Build the TensorRT engines of a night's bundle, unless they are there for this GPU and TensorRT."""
    from ecclip.release import build_engine_night

    _show(build_engine_night(night, builder=builder, capability=capability if builder == "rtx" else ""))


@_ROOMS["serving"].command("reconcile")
def serving_reconcile(
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C or SIGTERM, as a sidecar")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Pause between two looks of --watch, seconds")] = 5.0,
) -> None:
    """Bring every server to what live.json names: restarted ones, lagging ones, ones whose models are broken."""
    from ecclip.local import reconcile_servers

    _show(reconcile_servers(every if watch else None))


@registry_app.command("trace")
def registry_trace(lineage: Annotated[str, typer.Argument(help="Lineage id, snapshot digest or night")]) -> None:
    """Print what an answer, a snapshot or a night is linked to."""
    from ecclip.registry import trace

    _show(trace(lineage))


@registry_app.command("deliver")
def registry_deliver(night: Night) -> None:
    """Send the training metrics of a night that MLflow does not have yet; registration does so too."""
    from ecclip.registry import deliver_all

    _show({"runs": deliver_all(settings().work / "nights" / night / "train")})


@registry_app.command("follow", hidden=True)
def registry_follow(
    folder: Annotated[Path, typer.Argument(help="The folder of a tracked training")],
    parent: Annotated[int, typer.Option(help="The process of the training, which started this one")],
) -> None:
    """Send the metrics of a running training as they are written; started by the stage train."""
    from ecclip.registry import follow

    raise typer.Exit(0 if follow(folder, parent) else 1)


@app.command()
def demo(
    dump: Annotated[
        str | None, typer.Option(help="Your own dump: a night, a folder of nights (ISO dates), or a URL with {night}")
    ] = None,
    mapping: Annotated[str | None, typer.Option(help="mapping.yaml, or the name of a shipped one")] = None,
) -> None:
    """Run the demo: three nights from dump to answers, through Airflow and Triton."""
    from ecclip.local import demo as run_demo

    run_demo(dump=dump, mapping=mapping)


@app.command()
def up() -> None:
    """Start the Airflow UI, the MLflow UI and Triton on loopback; print addresses and how to log in."""
    from ecclip.local import up as start

    start()


@app.command()
def down() -> None:
    """Stop exactly the processes that `up` or a demo started here."""
    from ecclip.local import down as stop

    stop()


@app.command()
def serve() -> None:
    """Supervise the embedded Triton in the foreground: restart it whenever it dies, until Ctrl-C or SIGTERM."""
    from ecclip.local import serve as supervise

    supervise()


@app.command()
def status() -> None:
    """Show which services run and where, and whether @champion, live.json and what every server says agree."""
    from ecclip.local import status as show
    from ecclip.release import state

    _show({**show(), "release": state()})


@app.command()
def workspace(
    folder: Annotated[Path, typer.Argument(help="Where it is made, or renewed", file_okay=False)],
    remote: Annotated[str, typer.Option(help="URL or full path of its DVC remote")] = "",
) -> None:
    """Make a workspace that shares code and DAGs with this one and has its own params.yaml and data."""
    from ecclip.local import make_workspace

    make_workspace(folder, own_parameters=True, remote=remote)


@app.command()
def ask(
    title: Annotated[str, typer.Option(help="The listing's title")] = "",
    image: Annotated[Path | None, typer.Option(help="The listing's photo", exists=True, dir_okay=False)] = None,
    address: Annotated[
        str | None,
        typer.Option(help="host:port; default: the first of ECCLIP_TRITON_ADDRESSES, or the embedded server"),
    ] = None,
) -> None:
    """Ask the live model about one listing."""
    from ecclip.client import Product, ProductClient
    from ecclip.serving import client_options, embedded_address

    server = address or settings().triton_address or embedded_address()
    with ProductClient(server, client_options()) as client:
        photo = image.read_bytes() if image else None
        answer = client.ask([Product(image=photo, title=title or None)])[0]
    _show(vars(answer) | {"embedding": f"{len(answer.embedding)} numbers"})


def _old_command(old: str, new: str) -> Callable[[], None]:
    def command() -> None:
        raise ConfigError("this command has another name now", value=f"ecclip {old}", next_step=f"ecclip {new}")

    command.__doc__ = f"Say that this is ecclip {new} now."
    return command


for _old, _new in COMMANDS.items():
    _group, _, _name = _old.rpartition(" ")
    _anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    _GROUPS.get(_group, app).command(_name, hidden=True, context_settings=_anything)(_old_command(_old, _new))


def main() -> None:
    """Run the command line; an error raised on purpose is one line and exit status 1."""
    run_command(app)
