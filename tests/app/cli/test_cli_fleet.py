"""Fleets, re-pricing and estimates at the terminal."""

import json

from typer.testing import CliRunner

from app.cli.main import app
from tests.app.api.test_api_repricing import slow_body
from tests.app.api.world import World


def test_a_fleet_is_two_tables(runner: CliRunner, world: World) -> None:
    search = world.finished_search()
    shown = runner.invoke(app, ["fleet", search])
    assert shown.exit_code == 0 and "front of the worst device" in shown.output and "bench" in shown.output
    asked = ["fleet", search, "--limit", f"{world.profile}=2.5ms", "--limit", f"{world.profile}=1.0", "--k", "2"]
    both = runner.invoke(app, asked)
    assert both.exit_code == 0 and "2 trial(s) meet 2 limit(s); 1 at least" in both.output
    document = json.loads(runner.invoke(app, [*asked, "--json"]).output)
    assert document["cover"]["numbers"] == [1, 3] and document["worst"]["by"] == "dense"


def test_what_a_fleet_cannot_have_is_a_sentence(runner: CliRunner, world: World) -> None:
    search = world.finished_search()
    slow = runner.invoke(app, ["fleet", search, "--limit", f"{world.profile}=0.1ms"])
    assert slow.exit_code == 1 and "the fastest trial takes" in slow.stderr
    wrong = runner.invoke(app, ["fleet", search, "--limit", "0.5"])
    assert wrong.exit_code == 2 and "names no profile" in wrong.stderr


def test_repricing_says_who_enters_and_who_leaves(runner: CliRunner, world: World) -> None:
    world.finished_search(), world.search(name="waiting")
    later = world.add_profile(slow_body())
    shown = runner.invoke(app, ["reprice", world.model, later])
    assert shown.exit_code == 0 and "5 trials priced on other board" in shown.output
    assert "was passed over: it has no complete trial yet" in shown.output
    assert json.loads(runner.invoke(app, ["reprice", world.model, later, "--json"]).output)["trials"] == 5


def test_an_estimate_submits_nothing(runner: CliRunner, world: World) -> None:
    world.finished_search()
    asked = ["submit", world.model, "--dataset", world.dataset, "--profile", world.profile, "--limit", "0.001"]
    shown = runner.invoke(app, [*asked, "--estimate"])
    assert shown.exit_code == 0, shown.output
    assert "26 trials, 25 of them trained" in shown.output and "eight times in ten" in shown.output
    assert "cannot be met" in shown.output and "0.980" in shown.output
    found = json.loads(runner.invoke(app, [*asked, "--estimate", "--json"]).output)
    assert found["unreachable"][0]["pointer"] == "/limits/0"
    assert len(json.loads(runner.invoke(app, ["searches", "--json"]).output)) == 1
