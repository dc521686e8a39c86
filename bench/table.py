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


def gathers(rows):
    """(shape, dim) -> implementation -> row, in the order of the rows."""
    result = {}
    for row in rows:
        result.setdefault((json.dumps(row["shape"]), row["dim"]), {})[row["impl"]] = row
    return result


def cell(row, muster):
    if row is None:
        return "–"
    wrong = f", {row['wrong']} wrong" if row["wrong"] else ""
    return (f"{row['time_us_median']:.2f} "
            f"({muster['time_us_median'] / row['time_us_median']:.2f}{wrong})")


def table(rows):
    present = {row["impl"] for row in rows}
    columns = [name for name in NAMES if name in present]
    columns += sorted(present - set(NAMES) - {"muster"})
    yield "| shard | dim | bytes a rank | muster | " + " | ".join(
        NAMES.get(name, name) for name in columns) + " |"
    yield "|---" * (4 + len(columns)) + "|"
    for (shape, dim), of in gathers(rows).items():
        muster = of["muster"]
        wrong = f" ({muster['wrong']} wrong)" if muster["wrong"] else ""
        yield (f"| {shape} | {dim} | {muster['bytes_per_rank']} | "
               f"{muster['time_us_median']:.2f}{wrong} | " + " | ".join(
                   cell(of.get(name), muster) for name in columns) + " |")


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
