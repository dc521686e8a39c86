"""Tells what kinds of files these are, by a network that is split over the ranks of a job.

  muster shard model.onnx -n 4 -o split
  muster run -n 4 python file_types.py LIBRARY MODEL_FOLDER SPLIT_FOLDER FILES...

The network is Magika's. Each rank loads its own part and looks at the same files; what muster
gathers inside makes every rank's answer that of the whole network, which rank 0 runs beside.
"""
import json
import os
import sys
import time

import numpy as np
import onnxruntime


def main(library, model_folder, split_folder, *files):
    with open(os.path.join(model_folder, "config.min.json"), encoding="utf-8") as file:
        config = json.load(file)
    rank = int(os.environ.get("MUSTER_RANK", "0"))
    split = load(os.path.join(split_folder, f"rank{rank}.onnx"), library)
    if rank != 0:  # takes part, and has the same answers
        for path in files:
            run(split, features_of(path, config))
        return
    whole = load(os.path.join(model_folder, "model.onnx"))
    compare(split, whole, files, config)


def compare(split, whole, files, config):
    print(f"{'file':<36} {'split':<12} {'':>5}  {'unsplit':<12} {'':>5}  {'difference':>10}")
    differences, times, alike = [], [], True
    for path in files:
        features = features_of(path, config)
        actual, time_split = run(split, features)
        expected, time_whole = run(whole, features)
        kinds = [label(scores, config) for scores in (actual, expected)]
        alike = alike and kinds[0][0] == kinds[1][0]
        times.append((time_split, time_whole))
        differences.append(float(np.abs(actual - expected).max()))
        print(f"{path[-36:]:<36} " +
              "  ".join(f"{kind:<12} {score:5.0%}" for kind, score in kinds) +
              f"  {differences[-1]:10.1e}")
    ranks = os.environ.get("MUSTER_WORLD_SIZE", "1")
    in_ms = np.median(times, axis=0) * 1e3
    print(f"\nlargest difference of a probability to the unsplit network's: {max(differences):.1e}")
    print(f"a file takes {in_ms[0]:.1f} ms on {ranks} ranks of one thread, "
          f"{in_ms[1]:.1f} ms unsplit on one thread")
    if not alike:
        sys.exit("the split network gives another answer than the unsplit one")


def load(path, library=None):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a rank is one of several on this machine
    if library:
        options.register_custom_ops_library(library)  # muster::AllGather
    return onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])


def features_of(path, config):
    """What the network sees of a file, after Magika's published description.

    A block is read at each end, white space is stripped, and the outermost bytes are taken, with a
    token for padding where the file is too short.
    """
    block, padding = config["block_size"], config["padding_token"]
    with open(path, "rb") as file:
        begin = file.read(block).lstrip()
        file.seek(max(0, os.path.getsize(path) - block))
        end = file.read(block).rstrip()
    begin = list(begin[:config["beg_size"]])
    end = list(end[max(0, len(end) - config["end_size"]):])
    begin += [padding] * (config["beg_size"] - len(begin))
    end = [padding] * (config["end_size"] - len(end)) + end
    return np.array([begin + end], np.int32)


def run(session, features):
    """The probability of each kind, and the seconds that took."""
    start = time.perf_counter()
    scores = session.run(None, {session.get_inputs()[0].name: features})[0][0]
    return scores, time.perf_counter() - start


def label(scores, config):
    best = int(scores.argmax())
    return config["target_labels_space"][best], float(scores[best])


if __name__ == "__main__":
    main(*sys.argv[1:])
