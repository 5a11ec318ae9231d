"""PyTorch, transformers and peft at the work of bench/peers: one JSON request a line on stdin, one answer on stdout.

{"make": id, "case", "inputs": {name: {file, shape, dtype}}, "options"}  -> {"check": [numbers that both sides must share]}
{"time": id, "threads", "calls"}                                        -> {"seconds", "cpuSeconds": of one call}
{"drop": id}                                                            -> {}
{"grow": calls, "case", "inputs", "options"}                            -> {"bytes": how far calls went over what stood before}
{"judge": [[{file, shape, dtype}]], "case", "inputs", "options"}        -> {"errors"}: see peer_judge.py
{}                                                                      -> {"torch", "transformers", "peft": versions, "device"}

MIXWRIGHT_PEERS_DEVICE names PyTorch's device, "cpu" if absent. After "judge", "make" answers with "errors", too.
"""
import ctypes
import gc
import json
import math
import os
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
import peft
import torch
import transformers

import peer_judge
from peer_adapters import dora_norm, expert_lora, low_rank
from peer_models import step
from peer_moe import moe, routing
from peer_ops import adamw, attention, grouped, linear_cross_entropy, matmul
from peer_products import products

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print must not mix with the answers

device = os.environ.get("MIXWRIGHT_PEERS_DEVICE", "cpu")
on_gpu = device != "cpu"
torch.set_default_device(device)

works = (matmul, products, grouped, moe, routing, low_rank, dora_norm, expert_lora, adamw, attention)
works += (linear_cross_entropy, step)
cases = {f.__name__: f for f in works}
kinds = {"f32": torch.float32, "bf16": torch.bfloat16, "i32": torch.int32}
made = {}


def load(file, shape, dtype):
    tensor = torch.from_file(file, size=math.prod(shape), dtype=kinds[dtype], device="cpu")
    return (tensor.to(device) if on_gpu else tensor.clone()).view(shape)


def build(request, exact=False):
    inputs = {name: load(**at) for name, at in request["inputs"].items()}
    if exact:
        inputs = {name: t.double() if t.is_floating_point() else t for name, t in inputs.items()}
    return cases[request["case"]](inputs, request["options"])


def settle():
    if on_gpu:
        torch.cuda.synchronize()


def tidy():
    gc.collect()
    if on_gpu:
        torch.cuda.empty_cache()


def resident(line):
    """VmRSS or VmHWM, in bytes."""
    with open("/proc/self/status") as status:
        return next(int(each.split()[1]) * 1024 for each in status if each.startswith(line))


def grown(request):
    """Like growthOf in memory.ts; of a GPU its own memory. Weights and inputs stand before, gradients and optimizer state don't."""
    run = build(request).run
    gc.collect()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        ctypes.CDLL(None).malloc_trim(0)
        before = resident("VmRSS")
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    for _ in range(request["grow"]):
        run()
    settle()
    return (torch.cuda.max_memory_allocated() if on_gpu else resident("VmHWM")) - before


def judged(request):
    """Holds what comes from exact numbers for the "make" requests to come, and says how far the other side's results are from it."""
    peer_judge.expect(build(request, exact=True).results())
    tidy()
    return peer_judge.errors([[load(**at) for at in group] for group in request["judge"]])


def answer(request):
    if "make" in request:
        work = made[request["make"]] = build(request)
        if peer_judge.expected:
            return {"errors": peer_judge.errors_of(work.results())}
        return {"check": work.numbers()}
    if "time" in request:
        run = made[request["time"]].run
        torch.set_num_threads(request["threads"])
        settle()
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(request["calls"]):
            run()
        settle()
        spent = {"seconds": time.perf_counter() - start, "cpuSeconds": time.process_time() - cpu}
        return {name: each / request["calls"] for name, each in spent.items()}
    if "drop" in request:
        made.pop(request["drop"], None)
        peer_judge.forget()
        tidy()
        return {}
    if "grow" in request:
        return {"bytes": grown(request)}
    if "judge" in request:
        return {"errors": judged(request)}
    versions = {module.__name__: module.__version__ for module in (torch, transformers, peft)}
    return {**versions, "device": torch.cuda.get_device_name() if on_gpu else device}


for line in sys.stdin:
    try:
        result = answer(json.loads(line))
    except Exception as error:
        result = {"error": f"{type(error).__name__}: {error}"}
        tidy()
    print(json.dumps(result), file=answers, flush=True)
