"""Timeloop: one file a layer, problems that find their statistics, runs with zeros."""

from dataclasses import replace

import pytest

from costmodels.importers import SourceFile, import_profile
from tests.costmodels.importers.excerpts import problems_of, shared_file, source
from tests.costmodels.importers.simulated import CLOCKED, timeloop, timeloop_problem

MACS = 2 * 4 * 8 * 9 * 7 * 14
DENSE = timeloop(9000, computes=MACS)
SPARSE = timeloop(4500, computes=MACS, share=0.25)
UNBATCHED = replace(CLOCKED, batch=None)


def test_statistics_alone_give_cycles_energy_and_counts() -> None:
    profile = import_profile([source(DENSE, "runs\\conv2.timeloop-mapper.stats.txt")], replace(CLOCKED, batch=2))
    (layer,), (row,) = profile.layers, profile.rows
    assert (layer.name, layer.weights, layer.macs) == ("conv2", 288, MACS // 2)
    assert (row.latency_ms, row.energy_mj) == pytest.approx((9e-3, 12.5e-3))
    assert (profile.source, profile.original_unit, profile.note) == ("simulated", "cycles", "")


def test_the_person_names_the_only_layer() -> None:
    profile = import_profile([source(DENSE)], replace(CLOCKED, layer="layer1.0.conv1"))
    assert [row.layer for row in profile.rows] == ["layer1.0.conv1"]


def test_a_problem_shapes_the_layer_it_has_the_counts_of() -> None:
    other = timeloop(7000, computes=2 * 4 * 8 * 49, weights=32, outputs=784)
    pointwise = timeloop_problem(R=1, S=1, Q=7, Wstride=1)
    texts = {"a.stats.txt": DENSE, "b.stats.txt": other, "x.yaml": pointwise, "y.yaml": timeloop_problem()}
    first, second = import_profile([source(text, name) for name, text in texts.items()], UNBATCHED).layers
    assert (first.name, first.op, first.in_channels, first.out_channels) == ("a", "conv2d", 4, 8)
    assert (first.kernel, first.stride, first.output_size, first.positions) == ((3, 3), (1, 2), (14, 7), 98)
    assert (first.weights, first.macs, first.groups) == (288, MACS // 2, 1)
    assert (second.name, second.kernel, second.stride) == ("b", (1, 1), (1, 1))


def test_depthwise_layers_have_no_output_channels_of_their_own() -> None:
    problem = timeloop_problem(M=1).replace("    M: 1\n", "")
    stats = timeloop(900, computes=MACS // 8, weights=36, outputs=784)
    (layer,) = import_profile([source(stats), source(problem)], UNBATCHED).layers
    assert (layer.in_channels, layer.out_channels, layer.groups, layer.weights) == (4, 4, 4, 36)


def test_sparse_and_dense_run_of_a_layer() -> None:
    texts = (SPARSE, DENSE, timeloop_problem(weights=0.5, inputs=0.5), timeloop_problem(inputs=0.5))
    profile = import_profile([source(text, f"run{index}") for index, text in enumerate(texts)], UNBATCHED)
    assert [(row.layer, row.pattern, row.latency_ms) for row in profile.rows] == [
        ("run1", "dense", pytest.approx(9e-3)),
        ("run1", "unstructured@0.5", pytest.approx(4.5e-3)),
    ]
    assert profile.batch == 2


def test_sparse_weights_alone_are_refused_with_the_way_out() -> None:
    sparse = timeloop_problem(weights=0.5)
    alone = problems_of(SPARSE, sparse, given=UNBATCHED)
    assert "weights at unstructured@0.5" in alone and "give stats.txt of the dense run" in alone
    half_known = problems_of(SPARSE, timeloop(5000, computes=MACS, share=0.5), sparse, given=UNBATCHED)
    assert "left out computes: give its problem YAML too" in half_known
    mixed = (SPARSE, DENSE, timeloop_problem(weights=0.5, inputs=0.5), timeloop_problem())
    assert "inputs of another density than its dense run" in problems_of(*mixed, given=UNBATCHED)
    quarter = timeloop(2500, computes=MACS, share=0.125)
    crossed = (DENSE, SPARSE, quarter, timeloop_problem(weights=0.25), sparse)
    assert "give problems in the order of their statistics" in problems_of(*crossed, given=UNBATCHED)
    ordered = (DENSE, quarter, SPARSE, timeloop_problem(weights=0.25), sparse)
    patterns = [row.pattern for row in import_profile(list(map(source, ordered)), UNBATCHED).rows]
    assert patterns == ["dense", "unstructured@0.75", "unstructured@0.5"]


def test_computes_left_out_are_said() -> None:
    assert "(upload 25.0%)" in import_profile([source(SPARSE)], CLOCKED).note


def test_what_comes_before_sparse_modelling() -> None:
    old = DENSE.replace("Algorithmic Computes =", "Computes =")
    assert import_profile([source(old)], CLOCKED).layers[0].macs == MACS


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Cycles: 9000\n", "Cycles: -9\n", "Summary Stats: Cycles is -9"),
        ("Cycles: 9000\n", "Cycles: nan\n", "Summary Stats has no Cycles, or no number"),
        ("Cycles: 9000\n", "", "Summary Stats has no Cycles, or no number: the file is cut off"),
        ("Energy: 12.50 uJ", "Energy: lots uJ", "Summary Stats has no Energy"),
        ("Algorithmic Computes = ", "Computers = ", "Summary Stats has no Algorithmic Computes"),
        ("Summary Stats\n", "", "Summary Stats has no Cycles"),
    ],
)
def test_what_is_wrong_is_said(old: str, new: str, said: str) -> None:
    assert said in problems_of(DENSE.replace(old, new, 1), given=CLOCKED)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    C: 4\n", "    C: -4\n", "has C = -4, not a size"),
        ("    C: 4\n", "    C: four\n", "has C = 'four', not a size"),
        ("    C: 4\n", "    C: 5\n", "is of none of the statistics given"),
        ("Weights: 1.0", "Weights: 0.0", "has a density of Weights of 0.0, not a share"),
        ("density: 1.0", "density: nan", "has a density of Inputs of 'nan'"),
        ("Weights: 1.0", "Weights: .nan", "has a density of Weights of nan"),
        ("default: 2", "default: []", "has Wstride = list, not a size"),
        ("  instance:", "  instance: [", "is not plain YAML"),
        ("    N: 2", "    N: !!python/object/apply:os.getcwd []", "is not plain YAML"),
    ],
)
def test_a_bad_problem_is_refused(old: str, new: str, said: str) -> None:
    assert said in problems_of(DENSE, timeloop_problem().replace(old, new, 1), given=UNBATCHED)


def test_a_cut_file_and_a_missing_clock() -> None:
    for end in range(60, DENSE.index("Energy: 12.50"), 41):
        assert "the file is cut off" in problems_of(DENSE[:end], given=CLOCKED)
    assert "state the clock in hertz" in problems_of(DENSE, given=replace(CLOCKED, clock_hz=None))
    assert "batch is not in the file" in problems_of(DENSE, given=UNBATCHED)
    assert "stats.txt, one a layer is missing" in problems_of(timeloop_problem(), given=CLOCKED)


def _real(name: str) -> SourceFile:
    return shared_file("profiles", "timeloop", name)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "cycles", "energy_uj", "computes", "share"),
    [
        ("04.2.1-eyeriss-like-gating", 1_916_929, 1924.26, 598_081_536, "27.5%"),
        ("04.2.3-eyeriss-like-onchip-compression", 1_827_229, 7194.17, 598_081_536, "27.5%"),
        ("eyeriss_like", 86_016, 59.28, 10_838_016, ""),
    ],
)
def test_real_statistics(name: str, cycles: int, energy_uj: float, computes: int, share: str) -> None:
    profile = import_profile([_real(f"{name}.timeloop-mapper.stats.txt")], CLOCKED)
    (layer,), (row,) = profile.layers, profile.rows
    assert (row.layer, layer.macs) == (name, computes)
    assert (row.latency_ms, row.energy_mj) == pytest.approx((cycles * 1e-6, energy_uj * 1e-3))
    assert share in profile.note and bool(share) == bool(profile.note)


@pytest.mark.shared
def test_the_real_problem_is_sparse_and_wants_its_dense_run() -> None:
    stats = _real("04.2.1-eyeriss-like-gating.timeloop-mapper.stats.txt")
    problem = _real("04.2.1-eyeriss-like-gating.problem.yaml")
    assert "weights at unstructured@0.553867" in problems_of(stats.data, problem.data, given=UNBATCHED)
    dense_problem = problem.data.replace(b"0.446133", b"1.0")
    dense = stats.data.replace(b"Cycles: 1916929", b"Cycles: 4300000")
    texts = (dense, dense_problem, stats.data, problem.data)
    profile = import_profile(list(map(source, texts)), UNBATCHED)
    (layer,) = profile.layers
    assert (layer.in_channels, layer.out_channels, layer.kernel, layer.output_size) == (256, 384, (3, 3), (13, 13))
    assert (layer.weights, layer.macs, profile.batch) == (884_736, 149_520_384, 4)
    assert [row.pattern for row in profile.rows] == ["dense", "unstructured@0.553867"]
