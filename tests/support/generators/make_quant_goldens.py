"""Writes tests/support/goldens/quants.gguf: random blocks of every quantised type that we read, and their values.

For each type T the file holds the tensor "T" and, as F32, "T.values" = gguf.quants.dequantize of it. The last row of each
has scales that are infinite, NaN, subnormal, zero and minus zero. Needs the Python package gguf.
"""
import pathlib

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

# Offsets of the float16 fields in a block.
HALVES = {Type.Q8_0: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2],
          Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
          Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.IQ4_NL: [0], Type.IQ4_XS: [0], Type.IQ2_XXS: [0], Type.IQ2_XS: [0],
          Type.IQ2_S: [0], Type.IQ3_XXS: [0], Type.IQ3_S: [0], Type.IQ1_S: [0], Type.IQ1_M: [], Type.TQ1_0: [52], Type.TQ2_0: [64],
          Type.MXFP4: []}
SPECIAL = np.array([np.inf, np.nan, 6e-8, 0.0, -0.0, -6e-5, 65504.0, -np.inf], np.float16)

rng = np.random.default_rng(20240611)
path = pathlib.Path(__file__).parent.parent / "goldens" / "quants.gguf"
writer = GGUFWriter(path, "goldens")
for qtype, offsets in HALVES.items():
    n_elements, n_bytes = GGML_QUANT_SIZES[qtype]
    is_later = qtype not in list(HALVES)[:8]
    rows, blocks_per_row = (6, 4) if n_elements == 32 else (2, 2) if is_later else (2, 3)
    blocks = rng.integers(0, 256, (rows, blocks_per_row, n_bytes), dtype=np.uint8)
    for offset in offsets:
        scales = rng.normal(0, 0.05, (rows, blocks_per_row)).astype(np.float16)
        scales[-1] = rng.choice(SPECIAL, blocks_per_row, replace=False)
        blocks[..., offset:offset + 2] = scales[..., None].view(np.uint8)
    data = blocks.reshape(rows, -1)
    with np.errstate(invalid="ignore"):
        values = dequantize(data, qtype)
    writer.add_tensor(qtype.name, data, raw_dtype=qtype)
    writer.add_tensor(qtype.name + ".values", values)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
