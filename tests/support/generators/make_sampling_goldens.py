#!/usr/bin/env python3
"""Writes tests/support/goldens/texts/sampling.json: what Hugging Face transformers' logits processors leave of logits.

    pip install torch transformers && python3 tests/support/generators/make_sampling_goldens.py

A list of cases: `logits`, `seen`, `forbidden`, the options, and `ids` and `probabilities` of the tokens that may be chosen,
the most probable first. Many logits are equal. The processors keep all that are equal to the last one kept (top-k), or any of
them (top-p); tovamill takes those of the lowest ids. So here every logit is lowered by 1e-9 times its id, in float64, which
changes a probability by a relative 1e-6 at most and parts equal ones in that order.
"""
import json
import pathlib
import random

import torch
from transformers import (
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

OUT = pathlib.Path(__file__).parent.parent / "goldens" / "texts" / "sampling.json"


class PartTies:
    def __call__(self, input_ids, scores):
        return scores - 1e-9 * torch.arange(scores.shape[-1], dtype=scores.dtype)


def processors(case):
    steps = LogitsProcessorList()
    if case["repetition_penalty"] != 1:
        steps.append(RepetitionPenaltyLogitsProcessor(case["repetition_penalty"]))
    if case["forbidden"]:
        steps.append(MinNewTokensLengthLogitsProcessor(len(case["seen"]), 1, case["forbidden"]))
    steps.append(PartTies())
    steps.append(TemperatureLogitsWarper(case["temperature"]))
    if case["top_k"]:
        steps.append(TopKLogitsWarper(case["top_k"]))
    if case["top_p"] < 1:
        steps.append(TopPLogitsWarper(case["top_p"]))
    if case["min_p"]:
        steps.append(MinPLogitsWarper(case["min_p"]))
    return steps


def random_case(rng):
    n = rng.choice([1, 2, 17, 40, 64, 65, 90, 120])
    spread = rng.choice([0.5, 2, 4])
    case = {
        "logits": [round(rng.gauss(0, spread) * rng.choice([1, 2, 8])) / rng.choice([1, 4, 8]) for _ in range(n)],
        "seen": rng.choices(range(n), k=rng.randrange(1, 9)),
        "forbidden": rng.sample(range(n), rng.choice([0, 0, 1, 3]) if n > 4 else 0),
        "temperature": rng.choice([1.0, 1.0, 0.7, 0.2, 1.5, 4.0]),
        "top_k": rng.choice([0, 0, 1, 2, 5, 20, 64, 500]),
        "top_p": rng.choice([1, 1, 0.95, 0.8, 0.5, 0.1, 0.999]),
        "min_p": rng.choice([0, 0, 0, 0.05, 0.3, 1e-4]),
        "repetition_penalty": rng.choice([1.0, 1.0, 2.0, 0.5, 1.25, 1.1]),
    }
    return case


def main():
    rng = random.Random(3)
    cases = []
    for _ in range(150):
        case = random_case(rng)
        scores = processors(case)(torch.tensor([case["seen"]]), torch.tensor([case["logits"]], dtype=torch.float64))
        probabilities = scores.softmax(-1)[0]
        order = sorted((i for i in range(len(probabilities)) if probabilities[i] > 0), key=lambda i: -probabilities[i])
        case["ids"] = order
        case["probabilities"] = [float("%.9g" % probabilities[i]) for i in order]
        cases.append(case)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
