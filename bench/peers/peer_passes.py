"""What all cases of peer.py are made of."""
import torch
import torch.nn.functional as F

grouped_mm = getattr(F, "grouped_mm", None) or torch._grouped_mm  # its name before torch 2.10


def square(tensor):
    return tensor.detach().double().square().sum().item()


class Pass:
    """Work. `run` does it as it is timed; `results` does it once and gives [[output], [gradients of a leaf], ...], a list for
    what is one tensor on the other side or several here; `numbers` are what both sides must share."""

    def __init__(self, run, results=None, numbers=None):
        self.run = run
        self.results = results
        self.numbers = numbers or (lambda: [sum(map(square, group)) for group in results()])


def forward_only(call):
    """Work without gradients."""

    def run():
        with torch.no_grad():
            return call()

    return Pass(run, lambda: [[run()]])


def with_gradients(call, leaves, upstream):
    """Forward, and backward from a given gradient of the output. A leaf may be a list of tensors that belong together."""
    groups = [leaf if isinstance(leaf, list) else [leaf] for leaf in leaves]
    flat = [leaf for group in groups for leaf in group]
    for leaf in flat:
        leaf.requires_grad_(True)

    def run():
        for leaf in flat:
            leaf.grad = None
        y = call()
        y.backward(upstream.view_as(y))
        return y

    def results():
        y = run().detach()
        return [[y], *([leaf.grad for leaf in group] for group in groups)]

    def numbers():
        (y,), *gradients = results()
        dot = (y.double() * upstream.view_as(y).double()).sum().item()
        return [dot] + [sum(map(square, group)) for group in gradients]

    return Pass(run, results, numbers)


def maybe_gradients(call, leaves, inputs):
    """With gradients if there is a gradient of the output among the inputs."""
    return with_gradients(call, leaves, inputs["upstream"]) if "upstream" in inputs else forward_only(call)
