"""Runs the nearest-words example on a small made-up model and checks all that it prints.

usage: nearest_words_test.py COMMAND...
"""

import json
import math
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile

WIDTH = 20  # not a multiple of the example's vector lanes
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def main(*command):
    random.seed(1)
    words = ["[PAD]", *(f"word{a}{b}" for a in LETTERS for b in "xyz"), "##ing"]
    vectors = [[struct.unpack("f", struct.pack("f", random.gauss(0, 1)))[0] for _ in range(WIDTH)]
               for _ in words]
    with tempfile.TemporaryDirectory() as folder:
        model = pathlib.Path(folder)
        write_model(model, words, vectors)
        asked = ["wordqx", "wordax", "wordzz"]
        check(run(*command, model, *asked), asked, words, vectors)

        text = model / "text"
        text.write_text("a Wordby; wordcx? wordby, unknown wordcx wordby")
        check(run(*command, model, text), ["wordby", "wordcx"], words, vectors)

        fails("not in the model's vocabulary: nonsense", *command, model, "nonsense")
        fails("cannot open", *command, model / "absent", "wordax")


def write_model(folder, words, vectors):
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    table = b"".join(struct.pack(f"<{WIDTH}f", *vector) for vector in vectors)
    other = bytes(12)  # another tensor that lies in front of the table
    header = json.dumps({
        "other": {"dtype": "U8", "shape": [12], "data_offsets": [0, 12]},
        "embeddings.word_embeddings.weight": {
            "dtype": "F32", "shape": [len(words), WIDTH], "data_offsets": [12, 12 + len(table)]},
    }).encode()
    (folder / "model.safetensors").write_bytes(
        struct.pack("<Q", len(header)) + header + other + table)


def run(*command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        sys.exit(f"status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def fails(message, *command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0, done.stdout
    assert message in done.stderr, done.stderr


def check(output, asked, words, vectors):
    """Every asked word's row names the words with the largest cosines, in order."""
    rows = re.findall(r"(word..) ((?: +word.. -?\d\.\d\d){4})$", output, re.MULTILINE)
    assert [word for word, _ in rows] == asked, output
    for word, nearest in rows:
        assert nearest.split() == expected(word, words, vectors), f"{word}:\n{output}"
    assert re.search(r"largest difference.*: 0$", output, re.MULTILINE), output


def expected(word, words, vectors):
    own = vectors[words.index(word)]
    scores = {other: cosine(own, vector) for other, vector in zip(words, vectors)
              if other.startswith("word") and other != word}
    best = sorted(scores, key=scores.get, reverse=True)[:4]
    return [field for other in best for field in (other, f"{scores[other]:.2f}")]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)


if __name__ == "__main__":
    main(*sys.argv[1:])
