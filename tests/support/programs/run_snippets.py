"""Runs every ```python block of a Markdown file as printed, each on its own, in the working directory.

Usage: run_snippets.py FILE. Prints what each block prints. Exit code 77 where a block needs a package that is not
installed, which the last line names; all others have run by then.
"""
import contextlib
import io
import re
import sys

OPTIONAL = {"h5py", "numpy", "pandas", "xarray", "h5netcdf"}


def blocks_of(text):
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run(number, block):
    """What the block lacks, or None where it ran."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(block, f"block {number}", "exec"), {"__name__": "__main__"})
    except ImportError as e:
        if e.name not in OPTIONAL:
            raise
        return e.name
    except ValueError as e:  # xarray's word for an engine that is not there
        if "unrecognized engine" not in str(e):
            raise
        return "h5netcdf"
    assert printed.getvalue().strip(), f"block {number} prints nothing"
    print(printed.getvalue(), end="")
    return None


def main(path):
    with open(path, encoding="utf-8") as file:
        blocks = blocks_of(file.read())
    assert blocks, f"{path} has no python block"
    missing = [lack for lack in (run(i, block) for i, block in enumerate(blocks, 1)) if lack]
    if missing:
        print(f"{len(missing)} of {len(blocks)} blocks need what this Python does not have:", *sorted(set(missing)))
        sys.exit(77)


main(sys.argv[1])
