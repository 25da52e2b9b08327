#!/usr/bin/env python3
"""Where the time of a run of `tovamill generate` or `summarize` went, from the footers of its journals.

    generation_figures.py TOVAMILL RUN_DIRECTORY [--strands N]

Prints one line of JSON: seconds (of work, without loading; of all starts of the run), tokens_read, tokens_written and
both by these seconds; prefill_tokens_per_second, by the seconds of steps in which something was read; and
decode_tokens_per_second of the steps in which exactly `strands` texts were written and nothing read: --strands, or
where it is 0 the most that ever were. A figure that nothing tells, as after a start that was killed, is left out.
"""

import argparse
import json
import pathlib
import subprocess
import sys


def footers(tovamill, run):
    """Of the journals of ranks; None for one that ended without."""
    for journal in sorted((run / "journal").glob("[0-9]*.log")):
        text = subprocess.run([tovamill, "inspect", journal, "--json"], check=True, capture_output=True).stdout
        yield json.loads(text)["footer"]


def divided(a, b):
    return a / b if b > 0 else None


def figures(starts, wanted):
    if not starts or any(not start for start in starts):
        return {}
    total = lambda name: sum(start["work"][name] for start in starts)  # noqa: E731
    seconds = sum(start["seconds"] for start in starts)
    decoding = {}  # by strands: [seconds, tokens]
    for start in starts:
        for strands, s, n in start["work"]["decoding"]:
            entry = decoding.setdefault(strands, [0.0, 0])
            entry[0] += s
            entry[1] += n
    strands = wanted or max(decoding, default=0)
    decode_seconds, n_decoded = decoding.get(strands, (0.0, 0))
    read, written = total("tokens_read"), total("tokens_written")
    return {
        "seconds": seconds, "tokens_read": read, "tokens_written": written,
        "read_per_second": divided(read, seconds), "written_per_second": divided(written, seconds),
        "prefill_tokens_per_second": divided(read, total("seconds_reading")),
        "strands": strands, "decode_tokens": n_decoded, "decode_tokens_per_second": divided(n_decoded, decode_seconds),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tovamill")
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--strands", type=int, default=0)
    arguments = parser.parse_args()
    all_figures = figures(list(footers(arguments.tovamill, arguments.run)), arguments.strands)
    print(json.dumps({name: value for name, value in all_figures.items() if value is not None}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
