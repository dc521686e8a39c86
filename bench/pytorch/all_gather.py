"""Measures what users of PyTorch have to gather with: NCCL, and NCCL and then a permute.

    muster run -n 2 --no-prefix PYTHON bench/pytorch/all_gather.py ROWS ROW_BYTES

PYTHON has torch with CUDA and NCCL; each rank has a GPU of its own. A shard is [ROWS, ROW_BYTES]
bytes, gathered along dimension 1. `torch nccl` is all_gather_into_tensor, which is a gather along
dimension 0 and so another result; `torch nccl+permute` copies from there to a tensor of the right
shape, by copy_ of movedim(0, 1), as bfloat16.

Prints a JSON object a line with the keys of `muster bench all_gather --json` (bench/README.md), so
that both can be put into one table. CUDA graphs of calls, median and 99th percentile over rounds of
the slowest rank, every byte checked on fresh random data over poisoned outputs.
"""
import json
import math
import os
import pathlib
import statistics
import sys
import tempfile

import torch
import torch.distributed

RANK, SIZE = int(os.environ["MUSTER_RANK"]), int(os.environ["MUSTER_WORLD_SIZE"])
STORE = os.path.join(tempfile.gettempdir(), "torch-" + os.environ["MUSTER_TOKEN"])  # to meet by
ROUNDS = 50


def meet():
    torch.cuda.set_device(RANK)
    device = torch.device("cuda", RANK)
    torch.distributed.init_process_group(
        "nccl", init_method="file://" + STORE, rank=RANK, world_size=SIZE, device_id=device)
    return device


def slowest(seconds):
    value = torch.tensor([seconds], device="cuda")
    torch.distributed.all_reduce(value, op=torch.distributed.ReduceOp.MAX)
    return value.item()


def graph_of(call, calls):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    stream.synchronize()
    torch.distributed.barrier()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        for _ in range(calls):
            call()
    return graph, stream


def seconds_a_call(graph, stream, calls):
    """Of the slowest rank, round by round."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    times = []
    for _ in range(ROUNDS):
        torch.distributed.barrier()
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            begin.record(stream)
            graph.replay()
            end.record(stream)
        stream.synchronize()
        times.append(slowest(begin.elapsed_time(end) * 1e-3 / calls))
    return times


def main(rows, row_bytes):
    device = meet()
    count = rows * row_bytes
    source = torch.empty(rows, row_bytes, dtype=torch.uint8, device=device)
    gathered = torch.empty(SIZE, rows, row_bytes, dtype=torch.uint8, device=device)
    output = torch.empty(rows, SIZE * row_bytes, dtype=torch.uint8, device=device)
    as_bfloat16 = [tensor.view(torch.bfloat16) for tensor in (source, gathered, output)]

    def gather():
        torch.distributed.all_gather_into_tensor(as_bfloat16[1].view(-1), as_bfloat16[0].view(-1))

    def gather_and_permute():
        gather()
        as_bfloat16[2].view(rows, SIZE, row_bytes // 2).copy_(as_bfloat16[1].movedim(0, 1))

    def wrong(graph, stream, result, expected):
        """Bytes, over all ranks."""
        seed = torch.randint(1 << 40, [1], device=device)
        torch.distributed.broadcast(seed, 0)
        sections = [torch.empty_like(source).random_(
            0, 256, generator=torch.Generator(device).manual_seed(seed.item() + rank))
            for rank in range(SIZE)]
        source.copy_(sections[RANK])
        for tensor in (gathered, output):
            tensor.fill_(0xEE)
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            graph.replay()
        torch.cuda.synchronize()
        bad = (result != expected(sections)).sum()
        torch.distributed.all_reduce(bad)
        return bad.item()

    contenders = {
        "torch nccl": (gather, gathered, torch.stack),
        "torch nccl+permute": (gather_and_permute, output, lambda parts: torch.cat(parts, dim=1)),
    }
    calls = 50 if count <= 4 << 20 else 20
    all_right = True
    for name, (call, result, expected) in contenders.items():
        graph, stream = graph_of(call, calls)
        times = sorted(seconds_a_call(graph, stream, calls))
        row = {
            "impl": name, "transport": "nccl", "placement": "private", "ranks": SIZE,
            "shape": [rows, row_bytes], "dtype": "uint8", "dim": 1, "bytes_per_rank": count,
            "time_us_median": 1e6 * statistics.median(times),
            "time_us_p99": 1e6 * times[math.ceil(0.99 * (len(times) - 1))],
            "algbw_gbs": 1e-9 * SIZE * count / statistics.median(times),
            "busbw_gbs": 1e-9 * (SIZE - 1) * count / statistics.median(times),
            "wrong": wrong(graph, stream, result, expected),
        }
        all_right = all_right and row["wrong"] == 0
        if RANK == 0:
            print(json.dumps(row), flush=True)
    torch.distributed.barrier()
    if RANK == 0:
        pathlib.Path(STORE).unlink(missing_ok=True)
    # destroy_process_group hangs where NCCL was captured:
    # https://github.com/pytorch/pytorch/issues/115388
    os._exit(0 if all_right else 1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
