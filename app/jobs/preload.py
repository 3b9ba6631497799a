"""What the fork server imports before the first task: importing this module does it. Nobody else may.

Besides torch, the modules that torch and we import only when a trial first needs them: each child would pay seconds for
them again. They are imported, never called: a computation would start threads, and threads do not survive a fork.
What a torch does not have, or cannot import, is left out.
"""

from contextlib import suppress
from importlib import import_module

MODULES = (
    "torch",
    "torch._dynamo",  # imported by the first optimiser step
    "torch._functorch.aot_autograd",  # from here on by the first export of a smaller model
    "torch._inductor.ir",
    "torch.export._trace",
    "torch.export.pt2_archive._package",
    "networkx",
    "sympy.tensor.tensor",
    "safetensors.torch",
    "app.search.samples.batches",
    "app.search.evaluation.evaluate",
    "app.search.table.score",
    "app.search.tasks",
    "pruning.export",
    "pruning.intake.reader",
    "pruning.trace",
)

for _name in MODULES:
    with suppress(Exception):
        import_module(_name)
