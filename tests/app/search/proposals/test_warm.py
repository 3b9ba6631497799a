"""Earlier searches: their plans come first, at this search's prices and limits, and their losses count."""

from app.search.proposals.propose import FIRST, SOURCE
from app.search.proposals.warm import recall
from app.search.run import run
from app.search.spec import Limit
from app.search.table.memory import Memory
from app.search.trial import Trial
from tests.app.search.fakes import FakeExecutor, FakeStore, follow, problem, terrain

EARLIER = follow(problem(trials=12, profiles=("cpu",)), FakeExecutor()).history()
MEMORY = Memory(trials=tuple(EARLIER))


def with_memory(**fields: object) -> list[Trial]:
    store = FakeStore()
    for event in run(problem(**fields), FakeExecutor(), memory=MEMORY):  # type: ignore[arg-type]
        store.keep(event)
    return store.history()


def test_the_first_trials_are_the_front_of_what_is_known_priced_here() -> None:
    trials = with_memory(trials=12)
    remembered = [trial for trial in trials if trial.sampler_attributes.get(SOURCE) == "memory"]
    assert [trial.number for trial in remembered] == list(range(FIRST, FIRST + len(remembered)))
    assert 2 <= len(remembered) <= 4
    known = {trial.plan.digest for trial in EARLIER}
    for trial in remembered:
        assert trial.plan.digest in known
        assert [cost.profile for cost in trial.costs] == ["cpu", "eyeriss"]
    others = {trial.plan.digest for trial in trials[FIRST + len(remembered) :]}
    assert not others & {trial.plan.digest for trial in remembered}


def test_plans_that_break_a_limit_or_are_not_of_this_space_are_left_out() -> None:
    tight = terrain(problem(limits=[Limit(profile="cpu", share=0.3)]))
    found = recall(MEMORY, tight)
    assert all(tight.limits.hold(proposal.costs) for proposal in found.proposals)
    assert recall(MEMORY, terrain(problem(pruners=("sr_ste",), patterns=("nm",)))).trials == ()
    assert recall(Memory(), tight) == recall(MEMORY, terrain(problem(coordinates="raw")))


def test_what_is_known_changes_later_proposals() -> None:
    plain = follow(problem(trials=12), FakeExecutor()).history()
    assert [t.plan for t in with_memory(trials=12)] != [t.plan for t in plain]
