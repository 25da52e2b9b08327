// Weights as float32, by the definitions of ggml's block formats (ggml-common.h, dequantize_row_*
// in ggml-quants.c). A block stores small integers q and one or two float16 scales:
//   Q8_0, Q4_0, Q5_0: d * q            Q4_1, Q5_1: d * q + m
//   Q4_K, Q5_K: (d * scale) * q - dmin * min; 32 of 256 elements share scale and min, of 6 bits
//
//   Q6_K: (d * scale) * q; 16 of 256 elements share a scale of 8 bits
//   Q2_K: (d * scale) * q - dmin * min; 16 of 256 share scale and min, of 4 bits
//   Q3_K: (d * scale) * q; 16 of 256 share a scale of 6 bits
//   TQ1_0, TQ2_0: d * q with q of -1, 0, 1
// Types whose q is looked up in a table are in dequantize_codebook.cc.
//
// Every product and sum is rounded to float32 on its own (the file is compiled with
// -ffp-contract=off), so that the values equal those of other readers bit for bit. Multi-byte
// fields are little-endian and may lie at any address.
#include <array>
#include <bit>
#include <cstring>

#include "kernels/dequantize_codebook.h"
#include "kernels/types/error.h"
#include "kernels/types/tensor.h"

namespace tovamill {

static_assert(std::endian::native == std::endian::little, "model files are little-endian");

float float_from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

// Normal numbers: the exponent is moved from bias 15 to 127. Subnormals are m * 2^-24, made without
// touching a float32 subnormal (threads may run with denormals-are-zero): 2^-14 * (1 + m / 1024) -
// 2^-14. Exponent 31 stays all ones.
float float_from_f16(std::uint16_t bits) {
  constexpr std::uint32_t kRebias = (127u - 15u) << 23;
  constexpr std::uint32_t kExponent = 0x1Fu << 23;
  constexpr std::uint32_t kTwoToMinus14 = 113u << 23;
  const std::uint32_t sign = (bits & 0x8000u) << 16;
  const std::uint32_t magnitude = (bits & 0x7FFFu) << 13;
  const std::uint32_t normal = magnitude + kRebias + ((magnitude >= kExponent) ? kRebias : 0u);
  const float subnormal =
      std::bit_cast<float>(magnitude + kTwoToMinus14) - std::bit_cast<float>(kTwoToMinus14);
  const std::uint32_t value =
      magnitude < (1u << 23) ? std::bit_cast<std::uint32_t>(subnormal) : normal;
  return std::bit_cast<float>(value | sign);
}

std::uint16_t bf16_from_float(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

namespace {

using Byte = std::uint8_t;

float f16_at(const Byte* p) {
  std::uint16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return float_from_f16(bits);
}

std::uint32_t u32_at(const Byte* p) {
  std::uint32_t value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

void from_f16(const Byte* p, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = f16_at(p + 2 * i);
}

void from_bf16(const Byte* p, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, p + 2 * i, sizeof bits);
    out[i] = float_from_bf16(bits);
  }
}

// f16 d; int8 q[32]
void block_q8_0(const Byte* p, float* out) {
  const float d = f16_at(p);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(static_cast<std::int8_t>(p[2 + i]));
}

// f16 d; 16 bytes: element i in the low half of byte i, element 16 + i in its high half; minus 8
void block_q4_0(const Byte* p, float* out) {
  const float d = f16_at(p);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((p[2 + i] & 15) - 8);
    out[16 + i] = d * static_cast<float>((p[2 + i] >> 4) - 8);
  }
}

// f16 d, m; halves as in Q4_0
void block_q4_1(const Byte* p, float* out) {
  const float d = f16_at(p), m = f16_at(p + 2);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(p[4 + i] & 15) + m;
    out[16 + i] = d * static_cast<float>(p[4 + i] >> 4) + m;
  }
}

// f16 d; 32 fifth bits, element i at bit i; halves as in Q4_0; minus 16
void block_q5_0(const Byte* p, float* out) {
  const float d = f16_at(p);
  const std::uint32_t high = u32_at(p + 2);
  for (int i = 0; i < 16; ++i) {
    const int low = (p[6 + i] & 15) | static_cast<int>(((high >> i) & 1u) << 4);
    const int upper = (p[6 + i] >> 4) | static_cast<int>(((high >> (16 + i)) & 1u) << 4);
    out[i] = d * static_cast<float>(low - 16);
    out[16 + i] = d * static_cast<float>(upper - 16);
  }
}

// f16 d, m; fifth bits and halves as in Q5_0
void block_q5_1(const Byte* p, float* out) {
  const float d = f16_at(p), m = f16_at(p + 2);
  const std::uint32_t high = u32_at(p + 4);
  for (int i = 0; i < 16; ++i) {
    const int low = (p[8 + i] & 15) | static_cast<int>(((high >> i) & 1u) << 4);
    const int upper = (p[8 + i] >> 4) | static_cast<int>(((high >> (16 + i)) & 1u) << 4);
    out[i] = d * static_cast<float>(low) + m;
    out[16 + i] = d * static_cast<float>(upper) + m;
  }
}

// The 6-bit scale and min of each 32 elements, packed in 12 bytes: groups 0 to 3 in the low six
// bits of bytes 0 to 3 (scale) and 4 to 7 (min); groups 4 to 7 have their low four bits in bytes 8
// to 11 and their high two in the top bits of bytes 0 to 7.
struct ScaleMin {
  float scale;
  float min;
};

ScaleMin k_scale(const Byte* p, int group) {
  int scale = 0, min = 0;
  if (group < 4) {
    scale = p[group] & 63;
    min = p[group + 4] & 63;
  } else {
    scale = (p[group + 4] & 15) | ((p[group - 4] >> 6) << 4);
    min = (p[group + 4] >> 4) | ((p[group] >> 6) << 4);
  }
  return {static_cast<float>(scale), static_cast<float>(min)};
}

// f16 d, dmin; 12 bytes of scales; 128 bytes: of each 32, the low halves are one group and the high
// halves the next
void block_q4_k(const Byte* p, float* out) {
  const float d = f16_at(p), dmin = f16_at(p + 2);
  for (int group = 0; group < 8; ++group) {
    const ScaleMin s = k_scale(p + 4, group);
    const float scale = d * s.scale, min = dmin * s.min;
    const Byte* q = p + 16 + 32 * (group / 2);
    const int shift = 4 * (group % 2);
    for (int i = 0; i < 32; ++i) {
      out[32 * group + i] = scale * static_cast<float>((q[i] >> shift) & 15) - min;
    }
  }
}

// f16 d, dmin; 12 bytes of scales; 32 bytes of fifth bits, that of element i of group g at bit g of
// byte i; halves as in Q4_K
void block_q5_k(const Byte* p, float* out) {
  const float d = f16_at(p), dmin = f16_at(p + 2);
  const Byte* high = p + 16;
  for (int group = 0; group < 8; ++group) {
    const ScaleMin s = k_scale(p + 4, group);
    const float scale = d * s.scale, min = dmin * s.min;
    const Byte* low = p + 48 + 32 * (group / 2);
    const int shift = 4 * (group % 2);
    for (int i = 0; i < 32; ++i) {
      const int q = ((low[i] >> shift) & 15) | (((high[i] >> group) & 1) << 4);
      out[32 * group + i] = scale * static_cast<float>(q) - min;
    }
  }
}

// 128 bytes of low four bits; 64 bytes of high two bits; int8 scale[16]; f16 d; minus 32. Each half
// of 128 elements is four runs of 32: run r has its low bits in half r / 2 of 32 bytes at 32 * (r %
// 2), its high bits at bit 2 * r.
void block_q6_k(const Byte* p, float* out) {
  const float d = f16_at(p + 208);
  for (int run = 0; run < 8; ++run) {
    const int half = run / 4, r = run % 4;
    const Byte* low = p + 64 * half + 32 * (r % 2);
    const Byte* high = p + 128 + 32 * half;
    for (int part = 0; part < 2; ++part) {
      const float scale = d * static_cast<float>(static_cast<std::int8_t>(p[192 + 2 * run + part]));
      for (int i = 16 * part; i < 16 * part + 16; ++i) {
        const int q = ((low[i] >> (4 * (r / 2))) & 15) | (((high[i] >> (2 * r)) & 3) << 4);
        out[32 * run + i] = scale * static_cast<float>(q - 32);
      }
    }
  }
}

// 16 bytes of scale (low half) and min; 64 bytes: of each 32, four groups of 32 elements by pairs
// of bits; f16 d, dmin
void block_q2_k(const Byte* p, float* out) {
  const float d = f16_at(p + 80), dmin = f16_at(p + 82);
  for (int part = 0; part < 16; ++part) {
    const float scale = d * static_cast<float>(p[part] & 15);
    const float min = dmin * static_cast<float>(p[part] >> 4);
    const Byte* q = p + 16 + 32 * (part / 8) + 16 * (part % 2);
    const int shift = part / 2 % 4 * 2;
    for (int i = 0; i < 16; ++i)
      out[16 * part + i] = scale * static_cast<float>((q[i] >> shift) & 3) - min;
  }
}

// 32 bytes of third bits, that of element i of group g at bit g of byte i, 0 for minus 4; 64 bytes
// as in Q2_K; 12 bytes of scales: the low four bits of scales 0 to 7 and 8 to 15 in the halves of
// bytes 0 to 7, their high two by fours in the pairs of bits of bytes 8 to 11, minus 32; f16 d
void block_q3_k(const Byte* p, float* out) {
  const float d = f16_at(p + 108);
  const Byte* scales = p + 96;
  for (int part = 0; part < 16; ++part) {
    const int low = (scales[part % 8] >> (part / 8 * 4)) & 15;
    const int high = (scales[8 + part % 4] >> (part / 4 * 2)) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    const Byte* q = p + 32 + 32 * (part / 8) + 16 * (part % 2);
    const Byte* third = p + 16 * (part % 2);
    const int shift = part / 2 % 4 * 2;
    for (int i = 0; i < 16; ++i) {
      const int minus = ((third[i] >> (part / 2)) & 1) != 0 ? 0 : 4;
      out[16 * part + i] = scale * static_cast<float>(((q[i] >> shift) & 3) - minus);
    }
  }
}

// The digit of weight 3^-(1 + power) of a byte that spells five digits of base 3 as a fraction of
// 256.
int base3_digit(Byte byte, int power) {
  constexpr std::array kPowers{1, 3, 9, 27, 81};
  const auto rest = static_cast<Byte>(byte * kPowers[static_cast<std::size_t>(power)]);
  return (rest * 3) >> 8;
}

// 32 bytes of five digits, 16 bytes of five, 4 bytes of four, of each run of bytes the first digits
// first; f16 d; minus 1
void block_tq1_0(const Byte* p, float* out) {
  const float d = f16_at(p + 52);
  const auto run = [&](const Byte* bytes, int n_bytes, int n_digits) {
    for (int power = 0; power < n_digits; ++power) {
      for (int i = 0; i < n_bytes; ++i)
        *out++ = d * static_cast<float>(base3_digit(bytes[i], power) - 1);
    }
  };
  run(p, 32, 5);
  run(p + 32, 16, 5);
  run(p + 48, 4, 4);
}

// 64 bytes as in Q2_K; f16 d; minus 1
void block_tq2_0(const Byte* p, float* out) {
  const float d = f16_at(p + 64);
  for (int group = 0; group < 8; ++group) {
    const Byte* q = p + 32 * (group / 4);
    for (int i = 0; i < 32; ++i)
      out[32 * group + i] = d * static_cast<float>(((q[i] >> (group % 4 * 2)) & 3) - 1);
  }
}

template <void (*decode)(const Byte*, float*)>
void blocks(const Byte* p, BlockFormat format, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; i += format.n_elements, p += format.n_bytes) decode(p, out + i);
}

}  // namespace

void dequantize_row(const TensorView& tensor, std::int64_t row, float* out) {
  if (tensor.reader != nullptr) return tensor.reader->read(row, out);
  const std::int64_t n = tensor.n_cols();
  const BlockFormat format = block_format(tensor.storage);
  const auto* p =
      reinterpret_cast<const Byte*>(tensor.data) + row * (n / format.n_elements) * format.n_bytes;
  switch (tensor.storage) {
    case StorageType::f32:
      std::memcpy(out, p, static_cast<std::size_t>(n) * sizeof(float));
      return;
    case StorageType::f16:
      return from_f16(p, n, out);
    case StorageType::bf16:
      return from_bf16(p, n, out);
    case StorageType::q8_0:
      return blocks<block_q8_0>(p, format, n, out);
    case StorageType::q4_0:
      return blocks<block_q4_0>(p, format, n, out);
    case StorageType::q4_1:
      return blocks<block_q4_1>(p, format, n, out);
    case StorageType::q5_0:
      return blocks<block_q5_0>(p, format, n, out);
    case StorageType::q5_1:
      return blocks<block_q5_1>(p, format, n, out);
    case StorageType::q4_k:
      return blocks<block_q4_k>(p, format, n, out);
    case StorageType::q5_k:
      return blocks<block_q5_k>(p, format, n, out);
    case StorageType::q6_k:
      return blocks<block_q6_k>(p, format, n, out);
    case StorageType::q2_k:
      return blocks<block_q2_k>(p, format, n, out);
    case StorageType::q3_k:
      return blocks<block_q3_k>(p, format, n, out);
    case StorageType::iq1_m:
      return blocks<block_iq1_m>(p, format, n, out);
    case StorageType::iq1_s:
      return blocks<block_iq1_s>(p, format, n, out);
    case StorageType::iq2_s:
      return blocks<block_iq2_s>(p, format, n, out);
    case StorageType::iq2_xs:
      return blocks<block_iq2_xs>(p, format, n, out);
    case StorageType::iq2_xxs:
      return blocks<block_iq2_xxs>(p, format, n, out);
    case StorageType::iq3_s:
      return blocks<block_iq3_s>(p, format, n, out);
    case StorageType::iq3_xxs:
      return blocks<block_iq3_xxs>(p, format, n, out);
    case StorageType::iq4_nl:
      return blocks<block_iq4_nl>(p, format, n, out);
    case StorageType::iq4_xs:
      return blocks<block_iq4_xs>(p, format, n, out);
    case StorageType::mxfp4:
      return blocks<block_mxfp4>(p, format, n, out);
    case StorageType::tq1_0:
      return blocks<block_tq1_0>(p, format, n, out);
    case StorageType::tq2_0:
      return blocks<block_tq2_0>(p, format, n, out);
    case StorageType::u8:
    case StorageType::i8:
    case StorageType::i32:
    case StorageType::i64:
    case StorageType::f8_e4m3:
    case StorageType::f8_e8m0:
      break;
  }
  throw Error(ExitCode::internal, "tensor '" + tensor.name + "' holds bytes that are no numbers");
}

}  // namespace tovamill
