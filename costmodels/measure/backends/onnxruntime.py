"""ONNX Runtime: a session a layer from a graph that we write ourselves, and one of the exported whole net.

Inputs are bound by address, so that a call copies nothing. The spinning of idle threads is stopped with each run: the
sessions of other layers are alive at the same time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from costmodels.errors import MeasureError
from costmodels.measure.backends.base import first_line
from costmodels.measure.problem import LayerProblem, Place
from costmodels.measure.timing import Call, Clock, Watch, wall_watch
from pruning.graphnet import GraphNet
from pruning.onnx_translate import quiet

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_INSTALL = "install the extra 'onnx': onnx, onnxscript and onnxruntime (onnxruntime-gpu for cuda)"


class Bound:
    """A session with its inputs bound; calling it runs the session and waits for the end."""

    def __init__(self, session: Any, inputs: tuple[Tensor, ...]) -> None:
        self._session, self._inputs = session, inputs  # the tensors must outlive the binding
        self._binding = session.io_binding()
        for entry, value in zip(session.get_inputs(), inputs, strict=True):
            kind, number = value.device.type, value.device.index or 0
            dtype = torch.empty(0, dtype=value.dtype).numpy().dtype
            self._binding.bind_input(entry.name, kind, number, dtype, tuple(value.shape), value.data_ptr())
        for entry in session.get_outputs():
            self._binding.bind_output(entry.name, inputs[0].device.type)
        if inputs[0].is_cuda:
            torch.cuda.synchronize()  # the inputs are written

    def __call__(self) -> None:
        """Run once."""
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> list[Tensor]:
        """What the last run gave."""
        return [torch.from_numpy(value) for value in self._binding.copy_outputs_to_cpu()]


class OnnxRuntimeBackend:
    """Runs sessions of its CPU or CUDA provider."""

    prepares_slowly = False
    original_unit = "ns"

    def __init__(self, place: Place) -> None:
        try:
            import onnxruntime  # type: ignore[import-untyped]

            from costmodels.measure import onnx_layer
        except ImportError as error:
            raise MeasureError(f"{error.name} is not installed; {_INSTALL}") from error
        self._place, self._ort, self._graphs = place, onnxruntime, onnx_layer
        self._provider = _PROVIDERS[place.device.type]
        if self._provider not in onnxruntime.get_available_providers():
            raise MeasureError(f"this onnxruntime has no {self._provider}; {_INSTALL}")
        if place.dtype == torch.bfloat16:
            raise MeasureError("onnxruntime is measured in float32 or float16, not bfloat16")
        onnxruntime.set_default_logger_severity(3)  # errors
        self.runtime = f"onnxruntime {onnxruntime.__version__} {self._provider}"

    def layer(self, problem: LayerProblem, copies: int = 1) -> Call:
        """A graph of the layer, its tail, and their copies."""
        return self._bound(self._graphs.layer_model(problem, copies), (problem.value,))

    def network(self, net: GraphNet, inputs: tuple[Tensor, ...]) -> Call:
        """The net as torch exports it to ONNX; identifiers in it are ours."""
        return self._bound(_exported(net, inputs), inputs)

    def empty(self) -> Call:
        """A graph of one number, which is copied."""
        return self._bound(self._graphs.empty_model(), (torch.zeros(1, device=self._place.device),))

    def watch(self, clock: Clock) -> Watch:
        """The clock: a run is over when it returns, on CUDA too."""
        return wall_watch(clock)

    @contextmanager
    def running(self) -> Iterator[None]:
        """No gradients; each session has the asked number of threads."""
        with torch.no_grad():
            yield

    def _bound(self, model: bytes, inputs: tuple[Tensor, ...]) -> Bound:
        options = self._ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self._place.threads, 1
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            session = self._ort.InferenceSession(model, options, providers=[self._provider])
            bound = Bound(session, inputs)
            bound()
        except Exception as error:  # the runtime's errors have no common class
            raise MeasureError(f"onnxruntime cannot run a layer of the model: {first_line(error)}") from error
        if self._provider not in session.get_providers():
            raise MeasureError(f"onnxruntime could not start its {self._provider}: a library that it needs is missing")
        return bound


def _exported(net: GraphNet, inputs: tuple[Tensor, ...]) -> bytes:
    try:
        with quiet():
            exported: Any = torch.onnx.export(net, inputs, dynamo=True, verbose=False)
        return bytes(exported.model_proto.SerializeToString())
    except ImportError as error:
        raise MeasureError(f"{error.name} is not installed; {_INSTALL}") from error
    except Exception as error:  # every operator may refuse in its own way
        raise MeasureError(
            f"the model does not export to ONNX: {first_line(error)}; measure with another backend"
        ) from error
