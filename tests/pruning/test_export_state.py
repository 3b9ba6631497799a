"""Files that load where neither this code nor the uploader's class is: proven in processes that cannot import it."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save_file
from torch import nn

from pruning.apply import prune
from pruning.errors import ExportError
from pruning.export import cut_channels, export_program, named_state
from pruning.export_onnx import export_onnx
from pruning.export_state import cuts_of, load_named, read_state, write_bundle
from pruning.graphnet import GraphNet
from pruning.layers import ModelSpec
from pruning.patterns import NM, Channel
from pruning.plan import PruningPlan
from pruning.trace import trace
from tests.pruning.graphs import load_net, stir

PLAN = PruningPlan(pruner="magnitude", patterns={"0": Channel(0.5), "3": NM(keep=2, group=4)})
_ALONE = """
import sys
class Never:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pruning", "app", "costmodels"):
            raise AssertionError("imports " + name)
sys.meta_path.insert(0, Never())
import torch
torch.set_num_threads(1)
folder = sys.argv[1]
x = torch.load(folder + "/x.pt", weights_only=True)
found = []
"""
_PT2 = 'y = torch.export.load(folder + "/model.pt2").module()(x)\n'
_ONNX = """
import onnxruntime
session = onnxruntime.InferenceSession(folder + "/model.onnx", providers=["CPUExecutionProvider"])
y = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])
"""
_STATE = """
import json
from safetensors.torch import load_file
state = load_file(folder + "/state.safetensors")
sizes = {name: tensor.shape for name, tensor in state.items()}
net = torch.nn.Sequential(
    torch.nn.Conv2d(sizes["0.weight"][1], sizes["0.weight"][0], 3, padding=1),
    torch.nn.BatchNorm2d(sizes["1.weight"][0]),
    torch.nn.ReLU(),
    torch.nn.Conv2d(sizes["3.weight"][1], sizes["3.weight"][0], 3),
    torch.nn.Flatten(),
    torch.nn.Linear(sizes["5.weight"][1], sizes["5.weight"][0]),
).eval()
net.load_state_dict(state)
weights = load_file(folder + "/weights.safetensors")
for name, sides in json.load(open(folder + "/cuts.json")).items():
    for dim, stayed in sides.items():
        weights[name] = weights[name].index_select(int(dim), torch.tensor(stayed))
assert all(torch.equal(weights[name], state[name]) for name in weights)
y = net(x)
"""
_KEEP = "\nfound.append(y.detach())\n"
_END = 'torch.save(found, folder + "/found.pt")\n'
Made = tuple[GraphNet, ModelSpec, dict[str, list[int]], Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A pruned net under the uploader's shapes, and a folder with all that can be made of it."""
    folder = tmp_path_factory.mktemp("files")
    layers = (nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten())
    module = stir(nn.Sequential(*layers, nn.Linear(16, 3))).eval()
    net = load_net(module, (torch.randn(2, 1, 4, 4),), folder)
    spec = trace(net)
    pruned = prune(net, spec, PLAN)
    kept = {name: indices.tolist() for name, indices in pruned.kept.items()}
    assert isinstance(pruned.net, GraphNet)
    smaller = cut_channels(pruned.net, spec, kept).eval()
    export_program(smaller, folder / "model.pt2")
    write_bundle(pruned.net, spec, PLAN, kept, folder / "state.zip")
    with zipfile.ZipFile(folder / "state.zip") as archive:
        archive.extractall(folder)
    save_file(named_state(pruned.net), folder / "weights.safetensors")
    x = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    torch.save(x, folder / "x.pt")
    with torch.no_grad():
        torch.save(smaller(x), folder / "expected.pt")
    return pruned.net, spec, kept, folder


def test_every_file_runs_in_a_process_without_our_packages_and_the_uploaders_class(made: Made) -> None:
    """One isolated process takes all three: starting one takes seconds."""
    pytest.importorskip("onnxruntime")
    net, spec, kept, folder = made
    export_onnx(cut_channels(net, spec, kept).eval(), folder / "model.onnx")
    code = _ALONE + "".join(body + _KEEP for body in (_PT2, _ONNX, _STATE)) + _END
    done = subprocess.run([sys.executable, "-I", "-c", code, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = torch.load(folder / "expected.pt", weights_only=True)
    for found in torch.load(folder / "found.pt", weights_only=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_no_file_names_files_of_this_machine(made: Made) -> None:
    members = zipfile.ZipFile(made[3] / "model.pt2")
    root = str(Path(__file__).parents[2]).encode()
    assert not [name for name in members.namelist() if root in members.read(name)]


def test_the_bundle_says_what_was_done_and_how_to_load_it(made: Made) -> None:
    assert PruningPlan.from_json(json.loads((made[3] / "plan.json").read_text())) == PLAN
    assert "safetensors" in (made[3] / "README.txt").read_text()


def test_the_cuts_name_only_what_lost_channels(made: Made) -> None:
    net, spec, kept, _ = made
    (channels,) = kept.values()
    followers = ("1.weight", "1.bias", "1.running_mean", "1.running_var", "0.bias", "0.weight")
    assert cuts_of(net, spec, kept) == {**{name: {"0": channels} for name in followers}, "3.weight": {"1": channels}}
    assert cuts_of(net, spec, {}) == {}


def test_a_state_comes_back_bit_for_bit_and_the_bundle_is_always_the_same(made: Made, tmp_path: Path) -> None:
    net, spec, kept, folder = made
    smaller = cut_channels(net, spec, kept)
    again = load_named(smaller, load(read_state(folder / "state.zip")))
    for name, value in smaller.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    write_bundle(net, spec, PLAN, kept, tmp_path / "state.zip")
    assert (tmp_path / "state.zip").read_bytes() == (folder / "state.zip").read_bytes()


@pytest.mark.parametrize(("change", "words"), [("lose", "'3.bias' is missing"), ("grow", "'3.bias' is of shape")])
def test_weights_of_another_model_are_refused(made: Made, change: str, words: str) -> None:
    state = named_state(made[0])
    bias = state.pop("3.bias")
    if change == "grow":
        state["3.bias"] = torch.cat([bias, bias])
    with pytest.raises(ExportError, match=words):
        load_named(made[0], state)
