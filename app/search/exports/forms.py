"""The forms of one trial's model, each made from the stored weights and run from what was written. No training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import nn

from app.search.errors import SearchFailed
from app.search.exports.hops import Form, file_facts
from app.search.exports.passport import Format, HopName
from app.search.trial import Trial
from pruning.export import cut_channels, export_program
from pruning.export_onnx import OnnxFile, OnnxNet, export_onnx, quantised_onnx, stored_weights
from pruning.export_state import load_named, read_state, write_bundle
from pruning.graphnet import GraphNet, tensors_of
from pruning.layers import ModelSpec

BEFORE: Mapping[Format, tuple[HopName, ...]] = {  # what each is compared with, the first that held
    "pt2": ("smaller",),
    "onnx": ("pt2", "smaller"),
    "int8": ("onnx",),
    "state": ("smaller",),
}


@dataclass(kw_only=True)
class Forms:
    """One method a hop. `net` is the dense model, whose graph the trial's weights go into."""

    net: GraphNet
    model: ModelSpec
    trial: Trial
    stored: Mapping[str, Path]
    folder: Path
    masked_net: GraphNet = field(init=False)
    smaller_net: GraphNet | None = field(init=False, default=None)
    _onnx: OnnxFile | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        path = self.stored.get("weights")
        if path is None:
            raise SearchFailed("no_file", f"Trial {self.trial.number} has no stored weights to export from")
        _require_digest(self.trial, "weights", path)
        try:
            self.masked_net = load_named(self.net, load_file(path))
        except SafetensorError as error:
            raise SearchFailed("damaged_file", f"The weights of trial {self.trial.number} are damaged") from error

    def masked(self) -> Form:
        """The uploader's shapes, removed channels zero."""
        return Form(net=self.masked_net)

    def smaller(self) -> Form:
        """Removed channels gone."""
        self.smaller_net = cut_channels(self.masked_net, self.model, kept_channels(self.model, self.trial)).eval()
        return Form(net=self.smaller_net, tensors=tensors_of(self.smaller_net))

    def pt2(self) -> Form:
        """The stored `.pt2`, or a new one; read with torch alone, as a user would."""
        path = self.stored.get("model")
        if path is None:
            path = self.folder / "model.pt2"
            export_program(self._cut, path)
        else:
            _require_digest(self.trial, "model", path)  # torch's loader runs code: it gets files of our own only
        with path.open("rb") as stream:  # a stored file's name does not end in .pt2, as torch would have it
            program = torch.export.load(stream)
        return Form(net=_Loaded(program), path=path, kind="model", tensors=program.state_dict, measured=True)

    def onnx(self) -> Form:
        """ONNX through ONNX Runtime."""
        self._onnx = export_onnx(self._cut, self.folder / "model.onnx")
        return _run(self._onnx, "onnx", exact=True)

    def int8(self) -> Form:
        """The ONNX file with 8-bit weights; its outputs differ by what 8 bits lose."""
        if self._onnx is None:
            raise SearchFailed("no_file", "8-bit weights are put into the ONNX file, which could not be written")
        found = quantised_onnx(self._onnx, self.model.layers, self.folder / "model.int8.onnx")
        return _run(found, "int8", exact=False)

    def state(self) -> Form:
        """The bundle of plain tensors, put back into the smaller model's graph."""
        path, kept = self.folder / "state.zip", kept_channels(self.model, self.trial)
        write_bundle(self.masked_net, self.model, self.trial.plan, kept, path)
        net = load_named(self._cut, load(read_state(path)))
        return Form(net=net, path=path, kind="state", tensors=tensors_of(net))

    @property
    def _cut(self) -> GraphNet:
        if self.smaller_net is None:
            raise SearchFailed("no_file", "the smaller model could not be made")
        return self.smaller_net


def kept_channels(model: ModelSpec, trial: Trial) -> dict[str, Sequence[int]]:
    """The channels that each group of the trial kept, from what its report says went."""
    channels = {group.name: group.channels for group in model.groups}
    return {
        group["name"]: sorted(set(range(channels[group["name"]])) - set(group["removed"]))
        for group in trial.report.get("groups", ())
    }


class _Loaded(nn.Module):
    """A loaded program that can be told to be in eval mode, which it is: exported modules refuse the question."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        self._run = (program.module(),)  # in a tuple, so that it is no submodule

    def forward(self, *inputs: Any) -> Any:
        return self._run[0](*inputs)


def _run(file: OnnxFile, kind: str, *, exact: bool) -> Form:
    return Form(
        net=OnnxNet(file.path, torch.get_num_threads()),
        path=file.path,
        kind=kind,
        tensors=stored_weights(file),
        exact=exact,
        measured=True,
        facts={"opset": file.opset, "operators": dict(file.operators)},
    )


def _require_digest(trial: Trial, kind: str, path: Path) -> None:
    if (found := file_facts(kind, path).sha256) != trial.files.get(kind):
        reason = f"The stored {kind} file of trial {trial.number} has the digest {found[:12]}..., not the recorded one"
        raise SearchFailed("damaged_file", reason)
