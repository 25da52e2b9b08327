"""Tiny random models whose weights are quantised as Hugging Face directories have them: FP8, compressed-tensors, GPTQ, AWQ.

    python3 tests/support/generators/quantized_models.py build/tovamill [--only NAME...]
    python3 tests/support/generators/quantized_models.py --goldens tests/support/goldens/quantized [--only NAME...]
    (needs torch, transformers 5.24, compressed-tensors 0.20.1, numpy, h5py; about a minute)

Each case quantises the matrices of a random model. What the parts stand for is computed by the publisher's own library:
transformers (Fp8Dequantize), compressed-tensors (the compressors' decompress, AutoAWQConverter); of GPTQ, whose library
needs a GPU's tools, by the expression of its TorchQuantLinear in half precision. transformers scores the model of these
weights in float64. `tovamill score --dtype f32` must give the NLL of each token within 1e-3. `--goldens` writes models,
NLL and a hash of the float32 values of each matrix (FNV-1a, 64 bits) for the tests, which compare them to the bit.
"""

import argparse
import json
import pathlib
import shutil
import struct
import sys
import tempfile
import warnings

import numpy as np
import torch
import transformers
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.entrypoints.convert.converters.autoawq import AutoAWQConverter
from compressed_tensors.quantization import QuantizationScheme
from family_models import (
    HEADS, MEAN_TOLERANCE, SMALL, TEXT, TOLERANCE, exact_rotary, ids_of, make_model, nll_of, tovamill_nll, write_model,
)  # fmt: skip
from safetensors.torch import load_file, save_file
from transformers.integrations.finegrained_fp8 import Fp8Dequantize

LLAMA = ("Llama", {**SMALL, "num_hidden_layers": 2, "tie_word_embeddings": True})
PHI3 = ("Phi3", {**SMALL, "num_hidden_layers": 2, "tie_word_embeddings": True})
MOE = ("Qwen3Moe", {**HEADS, "num_hidden_layers": 2, "num_experts": 4, "num_experts_per_tok": 2,
                    "moe_intermediate_size": 16, "tie_word_embeddings": True})  # fmt: skip
FP8_MAX = 448.0


def is_quantized(name, tensor):
    return (tensor.ndim == 2 and name.endswith(".weight") and "embed" not in name and "lm_head" not in name
            and not name.endswith("mlp.gate.weight"))  # fmt: skip


# ---- a matrix -> its parts (names behind "X."), its values by the library. `how` is that of the case.


def fp8(weight, how, generator):
    rows, columns = weight.shape
    block_rows, block_columns = how.get("block") or (rows, columns)
    blocks = weight.reshape(rows // block_rows, block_rows, columns // block_columns, block_columns)
    scale = blocks.abs().amax((1, 3)) / FP8_MAX
    if how.get("exponents"):
        scale = torch.exp2(torch.ceil(torch.log2(scale)))
    scale = scale.to(how.get("scale", torch.float32))
    codes = (blocks / scale.float()[:, None, :, None]).clamp(-FP8_MAX, FP8_MAX).reshape(weight.shape)
    codes = codes.to(torch.float8_e4m3fn)
    values = Fp8Dequantize(None)._dequantize_one(codes, scale, output_dtype=torch.float32)
    if how.get("exponents"):
        scale = (torch.log2(scale.float()) + 127).to(torch.uint8)
        again = Fp8Dequantize(None)._dequantize_one(codes, scale, output_dtype=torch.float32)
        assert torch.equal(again, values)
        scale = scale.view(torch.float8_e8m0fnu) if how["exponents"] == "e8m0" else scale
    parts = {"weight": codes, "weight_scale_inv": scale if how.get("block") else scale.reshape(())}
    if how.get("static"):
        parts["activation_scale"] = torch.tensor(0.01)
    return parts, values


def compressed(weight, how, generator):
    scheme = QuantizationScheme.model_validate({"targets": ["Linear"], "weights": how["weights"]})
    args = scheme.weights
    rows, columns = weight.shape
    size = {"tensor": (rows, columns), "channel": (1, columns), "group": (1, args.group_size)}.get(
        args.strategy, args.block_structure
    )
    grid = (-(-rows // size[0]), -(-columns // size[1]))
    blocks = torch.zeros(grid[0] * size[0], grid[1] * size[1])
    blocks[:rows, :columns] = weight
    blocks = blocks.reshape(grid[0], size[0], grid[1], size[1])
    top = FP8_MAX if args.type == "float" else 2 ** (args.num_bits - 1) - 1
    state = {"weight": weight}
    if args.symmetric:
        state["weight_scale"] = blocks.abs().amax((1, 3)) / top
    else:
        low, high = blocks.amin((1, 3)).clamp(max=0), blocks.amax((1, 3)).clamp(min=0)
        state["weight_scale"] = (high - low) / (2 * top + 1)
        state["weight_zero_point"] = (-top - 1 - low / state["weight_scale"]).round().clamp(-top - 1, top).to(torch.int8)
    state["weight_scale"] = state["weight_scale"].to(how.get("scale", torch.bfloat16))
    if args.strategy == "tensor":
        state["weight_scale"] = state["weight_scale"].reshape(1)
    state["weight"] = weight.to(state["weight_scale"].dtype)
    compressor = BaseCompressor.get_value_from_registry(how["format"])
    parts = compressor.compress(state, scheme)
    values = compressor.decompress(parts, scheme)["weight"].float()
    return parts, values


def pack_columns(codes, bits):
    """(n, m) -> (n, m * bits / 32), I32."""
    n = 32 // bits
    words = np.zeros((codes.shape[0], codes.shape[1] // n), np.uint32)
    for i in range(n):
        words |= codes[:, i::n].astype(np.uint32) << np.uint32(i * bits)
    return torch.from_numpy(words.view(np.int32))


def grouped(weight, how, generator):
    """Transposed codes, zero points and half precision scales of groups, groups of columns."""
    rows, columns = weight.shape
    size, top = how["group"] if how["group"] > 0 else columns, 2 ** how["bits"] - 1
    order = np.arange(columns) // size
    if how.get("order"):
        order = generator.permutation(order)
    scales, zeros = (torch.zeros(columns // size, rows) for _ in range(2))
    codes = torch.zeros(columns, rows)
    for g in range(columns // size):
        of_group = weight[:, order == g]
        low, high = of_group.amin(1).clamp(max=0), of_group.amax(1).clamp(min=0)
        if how.get("symmetric"):
            high = of_group.abs().amax(1)
            low = -high
        scales[g] = ((high - low) / top).half().float()
        # 0 is what the first format cannot hold; the word's arithmetic of the library does.
        zeros[g] = (top + 1) / 2 if how.get("symmetric") else (-low / scales[g]).round().clamp(how.get("least", 0), top)
        codes[order == g] = (of_group / scales[g][:, None] + zeros[g][:, None]).round().clamp(0, top).T
    return codes.numpy().astype(np.uint32), zeros.numpy().astype(np.uint32), scales.half(), order


def gptq(weight, how, generator):
    codes, zeros, scales, order = grouped(weight, how, generator)
    bits = how["bits"]
    ones = np.int32(0x11111111 if bits == 4 else 0x01010101)
    qzeros = pack_columns(zeros, bits)
    if how["format"] == "gptq":
        qzeros = qzeros - int(ones)
    parts = {"qweight": pack_columns(np.ascontiguousarray(codes.T), bits).T.contiguous(), "qzeros": qzeros,
             "scales": scales, "g_idx": torch.from_numpy(order.astype(np.int32))}  # fmt: skip
    # TorchQuantLinear of gptqmodel: its v1 to v2 conversion, then its dequantize_weight.
    words = qzeros + int(ones) if how["format"] == "gptq" else qzeros
    shifts, small = torch.arange(0, 32, bits, dtype=torch.int32), torch.int8 if bits == 4 else torch.int16
    mask = 2**bits - 1
    zero = torch.bitwise_and(torch.bitwise_right_shift(words[:, :, None], shifts).to(small), mask).reshape(scales.shape)
    code = torch.bitwise_and(torch.bitwise_right_shift(parts["qweight"][:, None, :], shifts[None, :, None]).to(small), mask)
    code = code.reshape(-1, code.shape[2])
    g = parts["g_idx"].long()
    return parts, (scales[g] * (code - zero[g])).T.contiguous().float()


def awq(weight, how, generator):
    codes, zeros, scales, _ = grouped(weight, how, generator)
    places = [0, 2, 4, 6, 1, 3, 5, 7]  # of AutoAWQ's pack
    packed = [pack_columns(np.ascontiguousarray(m.reshape(m.shape[0], -1, 8)[:, :, places].reshape(m.shape)), 4)
              for m in (codes, zeros)]  # fmt: skip
    code, zero = AutoAWQConverter.reverse_awq_order(*AutoAWQConverter.unpack_awq(*packed, 4), 4)
    code, zero = code & 15, zero & 15
    size = code.shape[0] // zero.shape[0]
    values = (code - zero.repeat_interleave(size, 0)) * scales.repeat_interleave(size, 0)
    return {"qweight": packed[0], "qzeros": packed[1], "scales": scales}, values.T.contiguous().float()


def fp8_config(block, **more):
    return {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": block,
            "modules_to_not_convert": ["lm_head"], **more}  # fmt: skip


def of_compressed(fmt, bits, strategy, scale=torch.bfloat16, model=LLAMA, activations=None, **more):
    weights = {"num_bits": bits, "type": "float" if fmt == "float-quantized" else "int", "symmetric": True,
               "strategy": strategy, "dynamic": False, "observer": "minmax", **more}  # fmt: skip
    config = {"quant_method": "compressed-tensors", "format": fmt, "quantization_status": "compressed",
              "ignore": ["lm_head"], "kv_cache_scheme": None, "version": "0.20.1",
              "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": activations,
                                            "output_activations": None, "format": None}}}  # fmt: skip
    return model, compressed, {"format": fmt, "weights": weights, "scale": scale}, config


def of_gptq(bits, group, fmt="gptq", model=LLAMA, **how):
    config = {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": bool(how.get("order")),
              "sym": bool(how.get("symmetric")), "checkpoint_format": fmt, "damp_percent": 0.1, "lm_head": False,
              "meta": {"quantizer": ["gptqmodel:5.0"]}}  # fmt: skip
    return model, gptq, {"bits": bits, "group": group, "format": fmt, **how}, config


DYNAMIC = {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "token", "dynamic": True}
# name -> (model, quantiser, how, quantization_config). What the tests have is marked with a star.
CASES = {
    "*fp8-block": (LLAMA, fp8, {"block": (16, 8)}, fp8_config([16, 8])),
    "*fp8-moe": (MOE, fp8, {"block": (16, 16), "scale": torch.bfloat16}, fp8_config([16, 16])),
    "*fp8-tensor": (LLAMA, fp8, {"static": True, "scale": torch.bfloat16},
                    fp8_config(None, activation_scheme="static")),
    "fp8-exponents": (LLAMA, fp8, {"block": (16, 16), "exponents": "u8"}, fp8_config([16, 16], scale_fmt="ue8m0")),
    "*fp8-e8m0": (LLAMA, fp8, {"block": (16, 16), "exponents": "e8m0"}, fp8_config([16, 16], scale_fmt="ue8m0")),
    "*fp8-phi3": (PHI3, fp8, {"block": (16, 16)}, fp8_config([16, 16])),
    "*ct-int4-group": of_compressed("pack-quantized", 4, "group", group_size=16),
    "*ct-int4-asym": of_compressed("pack-quantized", 4, "group", torch.float16, group_size=8, symmetric=False),
    "ct-int4-channel": of_compressed("pack-quantized", 4, "channel", torch.float32),
    "*ct-int8-asym": of_compressed("pack-quantized", 8, "channel", symmetric=False),
    "ct-int8-tensor": of_compressed("pack-quantized", 8, "tensor", torch.float16),
    "*ct-int8": of_compressed("int-quantized", 8, "channel", activations={**DYNAMIC, "type": "int"}),
    "ct-int8-group": of_compressed("int-quantized", 8, "group", torch.float16, group_size=16, symmetric=False),
    "*ct-fp8": of_compressed("float-quantized", 8, "channel", activations=DYNAMIC),
    "ct-fp8-tensor": of_compressed("float-quantized", 8, "tensor", torch.float32),
    "*ct-fp8-block": of_compressed("float-quantized", 8, "block", block_structure=[24, 20]),
    "*ct-int4-moe": of_compressed("pack-quantized", 4, "group", model=MOE, group_size=16),
    "*gptq-4": of_gptq(4, 16, symmetric=True),
    "*gptq-4-order": of_gptq(4, 8, order=True, least=1),
    "gptq-4-wrapped": of_gptq(4, 4),
    "*gptq-8": of_gptq(8, -1, "gptq_v2"),
    "gptq-8-order": of_gptq(8, 16, order=True),
    "*gptq-4-moe": of_gptq(4, 16, "gptq_v2", model=MOE, order=True),
    "gptq-4-phi3": of_gptq(4, 16, model=PHI3, symmetric=True),
    "*awq-4": (LLAMA, awq, {"bits": 4, "group": 8}, {"quant_method": "awq", "bits": 4, "group_size": 8,
                                                     "zero_point": True, "version": "gemm",
                                                     "modules_to_not_convert": None}),
    "awq-4-moe": (MOE, awq, {"bits": 4, "group": 16}, {"quant_method": "awq", "bits": 4, "group_size": 16,
                                                       "zero_point": True, "version": "GEMM", "backend": "autoawq"}),
}  # fmt: skip


def fnv(values):
    # Numbers of 32 bits, one after the other.
    result = 0xCBF29CE484222325
    for word in values.numpy().view(np.uint32).ravel().tolist():
        result = (result ^ word) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{result:016x}"


def make_case(case, seed, folder, changes):
    """Writes the quantised model; the model of its values, hashes by the name of the matrix."""
    (class_name, config), quantize, how, quantization = case
    generator = np.random.default_rng(seed)
    write_model(make_model(class_name, {**config, **changes}, seed), folder)
    tensors, values, parts, hashes = load_file(folder / "model.safetensors"), {}, {}, {}
    for name, tensor in tensors.items():
        if not is_quantized(name, tensor):
            values[name] = parts[name] = tensor.to(torch.bfloat16)
            continue
        of_matrix, dense = quantize(tensor.float(), how, generator)
        values[name] = dense
        hashes[name] = fnv(dense)
        parts |= {name.removesuffix("weight") + part: t.contiguous() for part, t in of_matrix.items()}
    plain = folder.parent / (folder.name + "-plain")
    shutil.copytree(folder, plain)
    save_file(values, plain / "model.safetensors", {"format": "pt"})
    model = transformers.AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float64, attn_implementation="eager")
    shutil.rmtree(plain)
    save_file(parts, folder / "model.safetensors", {"format": "pt"})
    made = json.loads((folder / "config.json").read_text()) | {"quantization_config": quantization, "dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(made, indent=1) + "\n")
    exact_rotary(model.eval())
    return model, hashes


def run_case(program, name, case, seed, folder, corpus):
    model, _ = make_case(case, seed, folder, {})
    theirs = nll_of(model, ids_of(TEXT))
    ours, code, message = tovamill_nll(program, folder, corpus, folder.parent / (name + "-out"), [])
    if ours is None:
        return f"REFUSED ({code}) {message}"
    difference = np.array(theirs) - np.array(ours[len(ours) - len(theirs) :])
    worst, mean = np.abs(difference).max(), abs(difference.mean())
    ok = worst <= TOLERANCE and mean <= MEAN_TOLERANCE
    return f"{'equal' if ok else 'WRONG'} worst {worst:.2e} mean {mean:.1e} nll {np.mean(theirs):.3f}"


def write_golden(name, case, seed, folder):
    # Letters are below 128.
    shutil.rmtree(folder, ignore_errors=True)
    model, hashes = make_case(case, seed, folder, {"vocab_size": 128, "eos_token_id": None})
    for f in folder.glob("token*.json"):
        f.unlink()
    nll = nll_of(model, ids_of(TEXT))
    (folder / "nll.bin").write_bytes(struct.pack(f"<{len(nll)}d", *nll))
    (folder / "hashes.json").write_text(json.dumps(hashes, indent=1) + "\n")
    return f"{sum(f.stat().st_size for f in folder.iterdir())} bytes, mean NLL {np.mean(nll):.4f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--goldens")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    work = pathlib.Path(args.goldens or tempfile.mkdtemp(prefix="quantized-"))
    work.mkdir(parents=True, exist_ok=True)
    corpus, counts = work / "text.txt", {}
    if not args.goldens:
        corpus.write_text(TEXT)
    for number, (marked, case) in enumerate(CASES.items()):
        name = marked.removeprefix("*")
        if (args.only and name not in args.only) or (args.goldens and marked == name):
            continue
        if args.goldens:
            result = write_golden(name, case, 300 + number, work / name)
        else:
            result = run_case(args.program, name, case, 300 + number, work / name, corpus)
        print(f"{name:16} {result}", flush=True)
        counts[result.split()[0]] = counts.get(result.split()[0], 0) + 1
    if args.goldens:
        return 0
    print(counts)
    shutil.rmtree(work)
    return 1 if set(counts) != {"equal"} else 0


if __name__ == "__main__":
    sys.exit(main())
