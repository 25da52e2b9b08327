"""Compares reference_tova.py with per-token NLLs stored in an HDF5 file: group <document> with `ids` and one dataset
per policy, named tova-64, tova-ema-256, window-sinks4-256, tova-256-clip-300 or full.

    python check_reference.py MODEL.gguf FILE.h5 --document 356 --case tova-64 --tokens 300
"""

import argparse
import re

import h5py
import numpy as np
import reference_tova


def options_named(name):
    policy = re.match(r"full|tova-ema|tova|window", name)[0]
    numbers = [int(n) for n in re.findall(r"-(\d+)", name)]
    options = reference_tova.Options(policy=policy, cache_size=numbers[0] if numbers else 512)
    if "sinks" in name:
        options.sinks = int(re.search(r"sinks(\d+)", name)[1])
    if "clip" in name:
        options.clip_distance = int(re.search(r"clip-(\d+)", name)[1])
    return options


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("file")
    parser.add_argument("--document", required=True)
    parser.add_argument("--case", required=True)
    parser.add_argument("--tokens", type=int, default=300)
    arguments = parser.parse_args()
    with h5py.File(arguments.file) as f:
        ids = f[arguments.document]["ids"][: arguments.tokens]
        expected = f[arguments.document][arguments.case][: arguments.tokens - 1]
    model = reference_tova.load(arguments.model)
    result = reference_tova.run(model, ids, options_named(arguments.case))
    difference = np.abs(result.nll - expected)
    print(f"{arguments.case}: greatest difference {difference.max():.3e} nats at token {difference.argmax() + 1}, "
          f"mean {difference.mean():.3e}, mean NLL {result.nll.mean():.6f}; nearest decision {result.relative_margin:.1e}")
