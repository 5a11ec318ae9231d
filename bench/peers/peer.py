"""PyTorch, transformers and peft at the work of bench/peers: one JSON request a line on stdin, one answer on stdout.

{"make": id, "case", "inputs": {name: {file, shape, dtype}}, "options"}  -> {"check": [numbers that both sides must share]}
{"time": id, "threads", "calls"}                                        -> {"seconds", "cpuSeconds": of one call}
{"drop": id}                                                            -> {}
{"grow": calls, "case", "inputs", "options"}                            -> {"bytes": how far calls went over what stood before}
{}                                                                      -> {"torch", "transformers", "peft": versions}
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

from peer_adapters import dora_norm, low_rank
from peer_models import step
from peer_moe import moe
from peer_ops import adamw, attention, grouped, linear_cross_entropy, matmul
from peer_products import products

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print must not mix with the answers

works = (matmul, products, grouped, moe, low_rank, dora_norm, adamw, attention, linear_cross_entropy, step)
cases = {f.__name__: f for f in works}
kinds = {"f32": torch.float32, "bf16": torch.float32, "i32": torch.int32}
made = {}


def load(file, shape, dtype):
    count = math.prod(shape)
    tensor = torch.from_file(file, size=count, dtype=kinds[dtype]).clone().view(shape)
    return tensor.bfloat16() if dtype == "bf16" else tensor


def build(request):
    inputs = {name: load(**at) for name, at in request["inputs"].items()}
    return cases[request["case"]](inputs, request["options"])


def resident(line):
    """VmRSS or VmHWM, in bytes."""
    with open("/proc/self/status") as status:
        return next(int(each.split()[1]) * 1024 for each in status if each.startswith(line))


def grown(request):
    """Like growthOf in memory.ts. Weights and inputs stand before, gradients and optimizer state don't."""
    run, _ = build(request)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = resident("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    for _ in range(request["grow"]):
        run()
    return resident("VmHWM") - before


def answer(request):
    if "make" in request:
        made[request["make"]], check = build(request)
        return {"check": check()}
    if "time" in request:
        run = made[request["time"]]
        torch.set_num_threads(request["threads"])
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(request["calls"]):
            run()
        spent = {"seconds": time.perf_counter() - start, "cpuSeconds": time.process_time() - cpu}
        return {name: each / request["calls"] for name, each in spent.items()}
    if "drop" in request:
        made.pop(request["drop"], None)
        return {}
    if "grow" in request:
        return {"bytes": grown(request)}
    return {module.__name__: module.__version__ for module in (torch, transformers, peft)}


for line in sys.stdin:
    try:
        result = answer(json.loads(line))
    except Exception as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(result), file=answers, flush=True)
