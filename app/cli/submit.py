"""`espalier submit`: files on this machine to a finished front, in one command."""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.console import LOCAL, AsJson, Token, Url, connected, fail, out, print_json, say
from app.cli.dataset import DataKind, DataOptions, DataWish, Task, read_options, upload_dataset
from app.cli.fleet import show_estimate
from app.cli.upload import Architecture, Config, Graph, how_to_read, settled

if TYPE_CHECKING:
    from app.client import Client, Search

Many = list[str] | None
_LIMIT = (
    "share of dense, 0.5, milliseconds, 4.2ms, energy_mj=3, millijoules a batch, or weight_bytes=200000; on all "
    "profiles, or on one, as nvidia-a100:4.2ms; repeat"
)


def submit(
    model: Annotated[str, typer.Argument(help="exported program (.pt2), weights, or the id of an uploaded model")],
    dataset: Annotated[
        str,
        typer.Option(help="'digits', an .npz, .tsv or .csv file, a folder or zip of images, arrays or texts, or an id"),
    ],
    profile: Annotated[
        list[str], typer.Option(help="accelerator name, file of any tool, 'measure', or an id; repeat for more")
    ],
    name: Annotated[str, typer.Option(help="name of the search")] = "",
    batch: Annotated[int, typer.Option(min=1, help="batch size of the deployment")] = 1,
    precision: Annotated[str, typer.Option(help="precision of the deployment")] = "float32",
    trials: Annotated[int, typer.Option(min=1, help="trials beside the two dense ones")] = 24,
    steps: Annotated[int | None, typer.Option(min=0, help="recovery steps of each trial")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    mean: Annotated[str, typer.Option(help="per channel, after scaling to [0, 1]: 0.49,0.48,0.45")] = "",
    std: Annotated[str, typer.Option(help="likewise")] = "",
    classes: Annotated[str, typer.Option(help="class names in the order of the outputs, comma between")] = "",
    pattern: Annotated[Many, typer.Option(help="unstructured, nm or channel; repeat; all if left out")] = None,
    freeze: Annotated[Many, typer.Option(help="name of a layer to leave alone; repeat")] = None,
    limit: Annotated[Many, typer.Option(help=_LIMIT)] = None,
    acknowledge: Annotated[Many, typer.Option(help="batch, precision, coverage or ambiguity; repeat")] = None,
    wait: Annotated[bool, typer.Option(help="wait for the end and print the fronts")] = True,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="say what it would take and reach; submit nothing")
    ] = False,
    task: Task = "classification",
    augment: Annotated[Many, typer.Option(help="flip, crop, rotate, colour or erase training images; repeat")] = None,
    data_kind: DataKind = "",
    data_options: DataOptions = "",
    architecture: Architecture = "",
    config: Config = "",
    graph: Graph = "",
    url: Url = LOCAL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Upload what is local, submit a search, wait with a progress bar, print the fronts and the page's address.

    Ctrl-C stops the waiting, not the search.
    """
    spec: dict[str, Any] = {
        "name": name,
        "batch": batch,
        "precision": precision,
        "trials": trials,
        "seed": seed,
        "task": {
            "kind": task,
            "augment": list(augment or []),
            "mean": numbers(mean, "--mean"),
            "std": numbers(std, "--std"),
            "classes": _words(classes),
        },
        "frozen_layers": list(freeze or []),
        "acknowledge": list(acknowledge or []),
        **({"patterns": list(pattern)} if pattern else {}),
        **({"recovery": {"steps": steps}} if steps is not None else {}),
    }
    wish = how_to_read(architecture, config, graph)
    asked = "" if task == "classification" else task
    data = DataWish(seed=seed, kind=data_kind, task=asked, options=read_options(data_options))
    with connected(url, token) as client:
        spec["model"] = _model(client, model, wish)
        spec["dataset"] = upload_dataset(client, dataset, data)
        spec["profiles"] = [_profile(client, text, spec) for text in profile]
        named = dict(zip(profile, spec["profiles"], strict=True))
        spec["limits"] = [one for text in limit or [] for one in _limits(text, named)]
        if estimate:
            show_estimate(client.estimate_search(spec), as_json=as_json)
            return
        search = client.submit_search(spec)
        say(f"search {search.id} is at {search.url}")
        if wait:
            say("Ctrl-C stops waiting, not the search")
            search.wait()
        show(search, as_json=as_json)


def show(search: "Search", *, as_json: bool = False) -> None:
    """Print the fronts of a search that has ended, or how it stands; exit 1 if it failed."""
    from app.cli.tables import front_table

    document = search.refresh().document
    if as_json:
        print_json({"search": document, "fronts": search.fronts()})
    elif search.state in ("succeeded", "cancelled"):
        for front in search.fronts().values():
            out().print(front_table(front))
    if search.state == "failed":
        raise fail(f"the search failed: {(document['failure'] or {}).get('reason', 'no reason was stored')}")
    if not as_json:
        say(f"{search.state}: {search.url}")


def _model(client: "Client", text: str, wish: Mapping[str, Any]) -> str:
    path = Path(text)
    if not path.is_file():
        return str(client.get_model(_known_id(text, "model file"))["id"])
    say(f"uploading {path.name}")
    return settled(client.upload_model(path, **wish), client.get_model, "model")


def _profile(client: "Client", text: str, spec: Mapping[str, Any]) -> str:
    path = Path(text)
    if text == "measure":
        wish = {"model": spec["model"], "batch": spec["batch"], "threads": 1}
        found = client.add_profile({"measure": wish, "name": "this machine"})
    elif path.is_file():
        found = _from_file(client, path, spec)
    elif text in {entry["name"] for entry in client.list_accelerators()["items"]}:
        found = client.add_profile({"accelerator": text, "batch": spec["batch"]} | _precision(client, text, spec))
    else:
        return str(client.get_profile(_known_id(text, "profile, accelerator or profile file"))["id"])
    return settled(found, client.get_profile, "profile")


def _from_file(client: "Client", path: Path, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Upload a profile; what the file leaves out of batch and precision is the deployment's, never the other way."""
    from app.client import ApiError

    try:
        return client.add_profile(path)
    except ApiError as error:
        absent = {entry.get("pointer") for entry in error.errors}
        given = {key: spec[key] for key in ("batch", "precision") if f"/{key}" in absent}
        if not given:
            raise
    return client.add_profile(path, **given)


def _precision(client: "Client", accelerator: str, spec: Mapping[str, Any]) -> dict[str, str]:
    known: Sequence[str] = client.get_accelerator(accelerator)["precisions"]
    return {"precision": spec["precision"]} if spec["precision"] in known else {"precision": known[0]}


def read_limit(text: str) -> dict[str, float]:
    """`0.5` is a share of the dense latency, `4.2ms` a latency."""
    value = _finite(text.removesuffix("ms").strip())
    if value is None:
        raise fail(f"--limit {text!r} is neither a share such as 0.5 nor a latency such as 4.2ms", 2)
    return {"latency_ms": value} if text.endswith("ms") else {"share": value}


def _limits(text: str, profiles: Mapping[str, str]) -> list[dict[str, Any]]:
    """A limit on the profile that stands before its colon, by its --profile, or on all."""
    name, colon, wanted = text.rpartition(":")
    if colon and name not in profiles:
        raise fail(f"--limit {text!r} is on {name!r}, which is no --profile of this search: {', '.join(profiles)}", 2)
    resource, equals, number = wanted.partition("=")
    found = _further(text, resource, number) if equals else read_limit(wanted)
    return [found | {"profile": key} for key in ([profiles[name]] if colon else profiles.values())]


def _further(text: str, resource: str, number: str) -> dict[str, float]:
    """`energy_mj=3`: something beside latency."""
    most = _finite(number)
    if most is None or resource not in ("energy_mj", "weight_bytes"):
        raise fail(f"--limit {text!r} is unknown: beside latency write energy_mj=3 or weight_bytes=200000", 2)
    return {resource: most}


def _finite(text: str) -> float | None:
    """A number that JSON can carry; None for what is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def numbers(text: str, option: str) -> list[float]:
    """`0.49,0.48` as numbers."""
    try:
        return [float(part) for part in _words(text)]
    except ValueError:
        raise fail(f"{option} {text!r} is no list of numbers such as 0.49,0.48,0.45", 2) from None


def _words(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _known_id(text: str, noun: str) -> str:
    if "/" in text or "." in text or not text:
        raise fail(f"there is no {noun} {text!r}")
    return text
