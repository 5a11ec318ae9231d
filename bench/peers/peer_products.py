"""What blas.cc does, in PyTorch."""
import torch
from peer_passes import Pass, forward_only, square


def products(i, how):
    """Products of matrices that lie end to end in `a` and `b`, each into a matrix that is there already."""
    m, n, k, count = (how[name] for name in ("m", "n", "k", "count"))
    a = i["a"].reshape((count, k, m) if how["transA"] else (count, m, k))
    b = i["b"].reshape((count, n, k) if how["transB"] else (count, k, n))
    left = (a.mT if how["transA"] else a).unbind()
    right = (b.mT if how["transB"] else b).unbind()
    into = torch.empty(count, m, n).unbind()

    def multiply():
        for x, w, y in zip(left, right, into):
            torch.mm(x, w, out=y)
        return into

    run = forward_only(multiply).run

    def numbers():
        y = torch.stack(list(run())).double().flatten()
        return [square(y), (y * (1 + torch.arange(y.numel()) % 7)).sum().item()]

    return Pass(run, numbers=numbers)
