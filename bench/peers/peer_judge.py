"""Results held against those of the same work in float64.

Results are groups: the output, then the gradients of each leaf. Of a large tensor only evenly spread blocks are compared, so
that the other side need not send all of it: `samples` in bench/gpu/samples.ts takes the same.
"""
import torch

blocks, block = 256, 4096

expected = []  # of each group: (shapes of its tensors, its samples, its norm)


def sample(tensor):
    flat = tensor.detach().reshape(-1)
    n = flat.numel()
    if n > blocks * block:
        flat = torch.cat([flat[at : at + block] for at in ((n - block) * i // (blocks - 1) for i in range(blocks))])
    return flat.double()


def samples(group):
    return torch.cat([sample(t) for t in group])


def norm(group):
    return sum(t.detach().double().square().sum() for t in group).sqrt().item()


def expect(results):
    forget()
    expected.extend(([t.shape for t in group], samples(group), norm(group)) for group in results)


def forget():
    expected.clear()


def distance(found, wanted):
    return ((found.double() - wanted).norm() / wanted.norm()).item()


def errors(sampled):
    """Of samples that the other side took: ‖found - wanted‖ / ‖wanted‖, group by group."""
    return [distance(torch.cat(group), wanted) for group, (_, wanted, _) in zip(sampled, expected, strict=True)]


def errors_of(results):
    """The same of our own results. Where the tensors of a group are cut otherwise, their norms are compared."""
    return [
        distance(samples(group), wanted) if [t.shape for t in group] == shapes else abs(norm(group) / length - 1)
        for group, (shapes, wanted, length) in zip(results, expected, strict=True)
    ]
