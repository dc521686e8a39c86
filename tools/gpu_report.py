#!/usr/bin/env python3
"""Makes the report of a run of tools/gpu-test out of what it left in its folder.

  gpu_report.py OUT_DIR COMMIT

Writes OUT_DIR/report.json and prints the text.
"""
import datetime
import json
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
WORTH_SEEING = re.compile(
    r"kernel ended after|dead process's|more were free|these were free|SUMMARY: |left out")


def lines_of(path):
    return path.read_text(errors="replace").splitlines() if path.exists() else []


def json_lines(path):
    """Without a last line that was cut short, as of a step that was ended."""
    return [json.loads(line) for line in lines_of(path) if re.match(r"\{.*\}$", line)]


def ask(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def info_of(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):  # `muster info` failed
        return {}


def failures_of(log):
    return [match[1] for line in lines_of(log)
            if (match := re.match(r"\[  FAILED  \] (\S+?),? .*\(\d+ ms\)$", line))]


def collect(folder, commit):
    steps = json_lines(folder / "steps.jsonl")
    for step in steps:
        log = folder / f"{step['step']}.log"
        step["failed"] = failures_of(log)
        step["seen"] = list(dict.fromkeys(line for line in lines_of(log) if WORTH_SEEING.search(line)))
    rows = [{"step": path.stem.removeprefix("bench-"), **row}
            for path in sorted(folder.glob("bench-*.jsonl")) for row in json_lines(path)]
    return {
        "commit": commit,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%F %H:%M UTC"),
        "driver": ask("nvidia-smi", "--id=0", "--query-gpu=driver_version", "--format=csv,noheader"),
        "info": info_of(folder / "info.json"),
        "steps": steps,
        "not_run": [line.removeprefix("not run: ") for line in lines_of(folder / "not-run.txt")],
        "bench": rows,
    }


class Bench:
    """What was measured, by gather: implementation -> row."""

    def __init__(self, rows):
        self.host = {(row["step"], row["impl"]): row["time_us_median"] for row in rows
                     if row["step"].startswith("host-")}
        self.of = {}
        for row in side_by_side(rows):
            self.of.setdefault((json.dumps(row["shape"]), row["dim"]), {})[row["impl"]] = row

    def gathers(self, least, most=1 << 60, dims=range(8)):
        """With so many bytes a rank, along these dimensions."""
        return [rows for (_, dim), rows in self.of.items()
                if least <= rows["muster"]["bytes_per_rank"] <= most and dim in dims]

    def times(self, *where):
        return [rows["muster"]["time_us_median"] for rows in self.gathers(*where)]

    def host_times(self, ranks, impl):
        """What a plain call costs the host while the other rank calls too."""
        return [us for key, us in self.host.items() if key == (f"host-{ranks}", impl)]

    def rates(self, *where):
        return [rows["muster"]["busbw_gbs"] for rows in self.gathers(*where)]

    def shares(self, impl, *where, **which):
        """muster's time divided by the other's."""
        return [rows["muster"]["time_us_median"] / rows[impl]["time_us_median"]
                for rows in self.gathers(*where, **which) if impl in rows]


def side_by_side(rows):
    """2 ranks, graph replay: what was measured where muster was too."""
    def gather(row):
        return json.dumps(row["shape"]), row["dim"]
    two = [row for row in rows if row["step"].startswith("2-")]
    of_muster = {gather(row) for row in two if row["impl"] == "muster"}
    return sorted((row for row in two if gather(row) in of_muster),
                  key=lambda row: (row["bytes_per_rank"], row["dim"]))


def targets(bench, gpus):
    """(target, measured values, the most that is allowed, 1; or the least, -1)."""
    for ranks in "processes", "threads":
        launch = "".join(f"; to launch a kernel that only moves: {us:.3f}"
                         for us in bench.host_times(ranks, "kernel"))
        yield (f"a plain call costs the host, two {ranks} at once{launch}: at most 5 us",
               bench.host_times(ranks, "muster"), 5.0, 1)
    if gpus > 1:
        yield "1 KiB a rank: at most 2.5 us", bench.times(KIB, KIB), 2.5, 1
        yield "64 KiB: at most 3.1 us", bench.times(64 * KIB, 64 * KIB), 3.1, 1
        yield "256 MiB: at least 355 GB/s a direction", bench.rates(256 * MIB), 355, -1
        yield ("32 MiB: at most 1/2.2 of NCCL + permute by PyTorch",
               bench.shares("torch nccl+permute", 32 * MIB, 32 * MIB), 1 / 2.2, 1)
        yield ("32 MiB: at most 1/2.2 of NCCL + permute by the bench's own kernel",
               bench.shares("nccl+permute", 32 * MIB, 32 * MIB), 1 / 2.2, 1)
        yield ("32 MiB: at most 1/1.35 of NCCL, dimension 0",
               bench.shares("nccl", 32 * MIB, 32 * MIB), 1 / 1.35, 1)
        return
    yield "1 KiB a rank: at most 3.0 us", bench.times(KIB, KIB), 3.0, 1
    yield ("up to 64 KiB: at most 1/2.2 of NCCL + permute",
           bench.shares("nccl+permute", 0, 64 * KIB), 1 / 2.2, 1)
    yield ("above: at most 1/2.7 of NCCL + permute",
           bench.shares("nccl+permute", 64 * KIB + 1), 1 / 2.7, 1)
    for rows, dims in ("strided rows", [1]), ("one row a rank", [0]):
        yield (f"from 4 MiB, {rows}: less than 2-D copies",
               bench.shares("memcpy2d", 4 * MIB, dims=dims), 1, 1)
        yield (f"from 32 MiB, {rows}: at most 1.05 of a kernel that only moves",
               bench.shares("kernel", 32 * MIB, dims=dims), 1.05, 1)


def verdict(values, bound, sign):
    if not values:
        return "not measured"
    worst = sign * max(sign * value for value in values)
    best = sign * min(sign * value for value in values)
    text = f"{best:.3f}" if len(values) == 1 else f"{best:.3f} to {worst:.3f}"
    return f"{text}: {'met' if sign * worst <= sign * bound else 'NOT MET'}"


def table(rows):
    """bench/table.py's, of what was measured side by side."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    return subprocess.run([sys.executable, str(HERE.parent / "bench" / "table.py")], input=text,
                          capture_output=True, text=True, check=False).stdout.splitlines()


def text_of(report):
    gpu = report["info"].get("gpu", {})
    gpus = gpu.get("devices", [])  # those that CUDA lets a process see
    yield f"muster {report['commit'][:10]}, {report['date']}"
    yield from (f"{device['name']}, {device['memory_bytes'] / GIB:.0f} GiB" for device in gpus)
    yield f"driver {report['driver']} ({gpu.get('driver')}), NCCL {gpu.get('nccl')}"
    yield ""
    for step in report["steps"]:
        yield (f"{step['step']:<26} {'ok' if step['status'] == 0 else 'status ' + str(step['status']):<10}"
               f" {step['passed']:>3} tests passed {step['seconds']:>7.1f} s of {step['limit']}")
        for name in step["failed"]:
            yield f"  failed: {name}"
        yield from (f"  {line}" for line in step["seen"])
    yield f"{'in all':<26} {sum(step['seconds'] for step in report['steps']):>36.1f} s"
    yield ""
    yield from (f"not run: {text}" for text in report["not_run"])
    two = side_by_side(report["bench"])
    if two:
        ranks = "threads that share the GPU" if len(gpus) == 1 else "processes, a GPU each"
        yield f"\n2 ranks as {ranks}, graph replay, us a call (median; in brackets muster's share of it):"
        yield from table(two)
    if report["bench"]:
        yield ""
        for name, values, bound, sign in targets(Bench(report["bench"]), len(gpus)):
            yield f"{name}: {verdict(values, bound, sign)}"
        yield ""
    others = [row for row in report["bench"] if row not in two]
    for row in others:
        yield (f"{row['step']}: {row['ranks']} x {row['shape']}, dim {row['dim']}, {row['impl']} "
               f"{row['placement']}: {row['time_us_median']:.2f} us, p99 {row['time_us_p99']:.2f}, "
               f"{row['busbw_gbs']:.1f} GB/s, {row['wrong']} wrong")
    wrong = sum(row["wrong"] for row in report["bench"])
    yield f"wrong bytes in all measurements: {wrong}"


def main(folder, commit):
    folder = pathlib.Path(folder)
    report = collect(folder, commit)
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    print("\n".join(text_of(report)))


if __name__ == "__main__":
    main(*sys.argv[1:])
