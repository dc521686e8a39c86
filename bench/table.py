#!/usr/bin/env python3
"""Writes what `muster bench all_gather --json` measured as a Markdown table.

A line for each gather; in brackets muster's time divided by the contender's. Needs nothing but
Python.

Example:
  muster bench all_gather --against mpi,memcpy --json > rows.jsonl
  bench/table.py rows.jsonl
"""
import argparse
import json
import sys

NAMES = {
    "mpi": "MPI, dim 0 only",
    "mpi+permute": "MPI + permute",
    "mpi+datatype": "MPI, derived datatype",
    "memcpy": "plain copies",
    "nccl": "NCCL, dim 0 only",
    "nccl symmetric": "NCCL's symmetric windows, dim 0 only",
    "nccl+permute": "NCCL + permute",
    "torch nccl": "NCCL by PyTorch, dim 0 only",
    "torch nccl+permute": "NCCL + permute by PyTorch",
    "memcpy2d": "2-D copies",
    "kernel": "a kernel that only moves",
    "copy, one way": "copy to the peer, one way",
    "copy, both ways": "copies to each other",
}


def name_of(row, placement):
    """Implementation, and for what is not muster's first placement, which one it is."""
    return row["impl"] if row["impl"] != "muster" or row["placement"] == placement else (
        f"muster, {row['placement']}")


def gathers(rows):
    """(shape, dim) -> name -> row, in the order of the rows."""
    placement = next((row["placement"] for row in rows if row["impl"] == "muster"), None)
    result = {}
    for row in rows:
        gather = result.setdefault((json.dumps(row["shape"]), row["dim"]), {})
        gather[name_of(row, placement)] = row
    return result


def cell(row, muster):
    """Microseconds; in brackets muster's share of them, and wrong bytes."""
    if row is None:
        return "–"
    notes = []
    if muster not in (None, row):
        notes.append(f"{muster['time_us_median'] / row['time_us_median']:.2f}")
    if row["wrong"]:
        notes.append(f"{row['wrong']} wrong")
    return f"{row['time_us_median']:.2f}" + (f" ({', '.join(notes)})" if notes else "")


def line(cells):
    return f"| {' | '.join(map(str, cells))} |"


def table(rows):
    measured = gathers(rows)
    present = {name for gather in measured.values() for name in gather} - {"muster"}
    columns = [name for name in NAMES if name in present] + sorted(present - set(NAMES))
    header = ["shard", "dim", "bytes a rank", "muster", *(NAMES.get(name, name) for name in columns)]
    yield line(header)
    yield line(["---"] * len(header))
    for (shape, dim), gather in measured.items():
        muster = gather.get("muster")
        yield line([shape, dim, next(iter(gather.values()))["bytes_per_rank"], cell(muster, None),
                    *(cell(gather.get(name), muster) for name in columns)])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="?", type=argparse.FileType(), default=sys.stdin,
                        help="a file of JSON objects, one a line")
    rows = [json.loads(line) for line in parser.parse_args().rows if line.strip()]
    if not any(row["impl"] == "muster" for row in rows):
        sys.exit("table.py: no rows of muster")
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
