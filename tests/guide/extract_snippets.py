"""Turns the C++ snippets of Markdown pages into functions that a program can call.

usage: extract_snippets.py [--gpu] SOURCE PAGE...

A snippet is what a rank does with its `world`; one with a main() is called by one rank only. With
--gpu also those that are marked as ones that need a GPU, and CUDA to be compiled.
"""

import pathlib
import re
import sys


STANDARD = ["<array>", "<cassert>", "<chrono>", "<span>", "<string>", "<thread>", "<vector>"]


def main(*arguments):
    gpu = arguments[0] == "--gpu"
    source, *pages = arguments[gpu:]
    includes, functions, table = set(STANDARD), [], []
    if gpu:
        includes.add("<cuda_runtime_api.h>")
    for page in map(pathlib.Path, pages):
        for line, code, needs_gpu in snippets(page.read_text()):
            if needs_gpu and not gpu:
                continue
            includes.update(re.findall(r"^#include (.*)$", code, re.MULTILINE))
            name = f"{page.stem}_{line}"
            functions.append(as_function(name, line, page, code))
            table.append(f'    {{"{page.name}", {line}, {name}::run, {str(needs_gpu).lower()}}},')
    text = ["#include \"snippets.h\"", *(f"#include {header}" for header in sorted(includes)),
            "using namespace std::chrono_literals;", *functions,
            "static constexpr Snippet all[] = {", *table, "};",
            "std::span<const Snippet> snippets() { return all; }"]
    pathlib.Path(source).write_text("\n".join(text) + "\n")


def snippets(text):
    for block in re.finditer(r"^```cpp( gpu)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, block.start()) + 2, block[2], block[1] is not None


def as_function(name, line, page, code):
    """Code keeps its page and line, so that a compiler's message leads to the page."""
    code = re.sub(r"^#include .*$", "", code, flags=re.MULTILINE)
    place = f'#line {line} "{page}"\n'
    if "int main()" in code:
        code = place + code.replace("int main()", "void program()")
        run = "void run(muster::World& world) { if (world.rank() == 0) program(); }"
        return f"namespace {name} {{\n{code}{run}\n}}"
    return f"namespace {name} {{\nvoid run([[maybe_unused]] muster::World& world) {{\n{place}{code}}}\n}}"


if __name__ == "__main__":
    main(*sys.argv[1:])
