// A block stores indices into a table of vectors (IQ1, IQ2: of 8 elements, IQ3: of 4) or of numbers
// (IQ4, MXFP4), signs and scales:
//   IQ2, IQ3: (d * (scale + 1/2) / 4 or / 2) * magnitude * sign; IQ3_S: (d * (1 + 2 * scale)) * ...
//   IQ1:      (d * (1 + 2 * scale)) * (element +- 1/8)
//   IQ4:      d * number, (d * scale) * number; MXFP4: 2^(e - 128) * number
// Seven of eight signs are stored; the eighth makes the number of minus signs even. Compiled with
// -ffp-contract=off, as dequantize.cc is.
#include "kernels/dequantize_codebook.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/codebooks.h"
#include "kernels/types/tensor.h"

namespace tovamill {
namespace {

using CodeByte = std::uint8_t;

template <class Number>
Number number_at(const CodeByte* p) {
  Number value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

float half_at(const CodeByte* p) { return float_from_f16(number_at<std::uint16_t>(p)); }

constexpr std::array<float, 3> kIq2Magnitudes{8, 25, 43};
constexpr std::array<float, 8> kIq3XxsMagnitudes{4, 12, 20, 28, 36, 44, 52, 62};
constexpr std::array<float, 8> kIq3SMagnitudes{1, 3, 5, 7, 9, 11, 13, 15};
constexpr std::array<float, 16> kIq4Numbers{-127, -104, -83, -65, -49, -35, -22, -10,
                                            1,    13,   25,  38,  53,  69,  89,  113};
constexpr std::array<double, 16> kMxfp4Numbers{0, 1,  2,  3,  4,  6,  8,  12,
                                               0, -1, -2, -3, -4, -6, -8, -12};

// The eight signs of an index of seven bits.
unsigned even_signs(unsigned index) {
  return index | static_cast<unsigned>(std::popcount(index) & 1) << 7;
}

float with_sign(float value, unsigned signs, int i) {
  return ((signs >> i) & 1u) != 0 ? -value : value;
}

// Eight elements of two bits each.
void put_iq2(float scale, std::uint16_t entry, unsigned signs, float* out) {
  for (int i = 0; i < 8; ++i) {
    const float magnitude = kIq2Magnitudes[(entry >> (2 * i)) & 3];
    out[i] = with_sign(scale * magnitude, signs, i);
  }
}

// Twice four elements of four bits each.
void put_iq3(float scale, std::uint16_t first, std::uint16_t second,
             const std::array<float, 8>& magnitudes, unsigned signs, float* out) {
  for (int i = 0; i < 8; ++i) {
    const std::uint16_t entry = i < 4 ? first : second;
    out[i] = with_sign(scale * magnitudes[(entry >> (4 * (i % 4))) & 7], signs, i);
  }
}

// Eight elements of two bits each, minus 1, plus delta.
void put_iq1(float scale, std::uint16_t entry, float delta, float* out) {
  for (int i = 0; i < 8; ++i)
    out[i] = scale * (static_cast<float>(static_cast<int>((entry >> (2 * i)) & 3) - 1) + delta);
}

constexpr float kIq1Delta = 0.125f;

}  // namespace

// f16 d; per 32 elements: 4 bytes of indices, then a u32 of four times seven signs and a scale of 4
// bits
void block_iq2_xxs(const CodeByte* p, float* out) {
  const float d = half_at(p);
  for (int group = 0; group < 8; ++group) {
    const CodeByte* q = p + 2 + 8 * group;
    const auto rest = number_at<std::uint32_t>(q + 4);
    const float scale = d * (0.5f + static_cast<float>(rest >> 28)) * 0.25f;
    for (int i = 0; i < 4; ++i)
      put_iq2(scale, kIq2XxsGrid[q[i]], even_signs(rest >> (7 * i) & 127),
              out + 32 * group + 8 * i);
  }
}

// f16 d; 32 u16 of an index of 9 bits and seven signs; 8 bytes of scales, a half for 16 elements
void block_iq2_xs(const CodeByte* p, float* out) {
  const float d = half_at(p);
  for (int i = 0; i < 32; ++i) {
    const auto q = number_at<std::uint16_t>(p + 2 + 2 * i);
    const int part = i / 2;
    const int s = (p[66 + part / 2] >> (part % 2 * 4)) & 15;
    const float scale = d * (0.5f + static_cast<float>(s)) * 0.25f;
    put_iq2(scale, kIq2XsGrid[q & 511], even_signs(q >> 9), out + 8 * i);
  }
}

// f16 d; 32 bytes of indices; 32 bytes of eight signs; 8 bytes of high bits of indices, two each; 8
// bytes of scales, a half for 16 elements
void block_iq2_s(const CodeByte* p, float* out) {
  const float d = half_at(p);
  for (int i = 0; i < 32; ++i) {
    const int part = i / 2;
    const int s = (p[74 + part / 2] >> (part % 2 * 4)) & 15;
    const float scale = d * (0.5f + static_cast<float>(s)) * 0.25f;
    const int high = (p[66 + i / 4] >> (i % 4 * 2)) & 3;
    put_iq2(scale, kIq2SGrid[static_cast<std::size_t>(p[2 + i] | high << 8)], p[34 + i],
            out + 8 * i);
  }
}

// f16 d; 64 bytes of indices; per 32 elements a u32 as in IQ2_XXS
void block_iq3_xxs(const CodeByte* p, float* out) {
  const float d = half_at(p);
  for (int group = 0; group < 8; ++group) {
    const CodeByte* q = p + 2 + 8 * group;
    const auto rest = number_at<std::uint32_t>(p + 66 + 4 * group);
    const float scale = d * (0.5f + static_cast<float>(rest >> 28)) * 0.5f;
    for (int i = 0; i < 4; ++i) {
      put_iq3(scale, kIq3XxsGrid[q[2 * i]], kIq3XxsGrid[q[2 * i + 1]], kIq3XxsMagnitudes,
              even_signs(rest >> (7 * i) & 127), out + 32 * group + 8 * i);
    }
  }
}

// f16 d; 64 bytes of indices; 8 bytes of their ninth bits; 32 bytes of eight signs; 4 bytes of
// scales, a half for 32 elements
void block_iq3_s(const CodeByte* p, float* out) {
  const float d = half_at(p);
  const auto entry = [&](int i) {
    const int ninth = (p[66 + i / 8] >> (i % 8)) & 1;
    return kIq3SGrid[static_cast<std::size_t>(p[2 + i] | ninth << 8)];
  };
  for (int i = 0; i < 32; ++i) {
    const int group = i / 4;
    const int s = (p[106 + group / 2] >> (group % 2 * 4)) & 15;
    const float scale = d * static_cast<float>(1 + 2 * s);
    put_iq3(scale, entry(2 * i), entry(2 * i + 1), kIq3SMagnitudes, p[74 + i], out + 8 * i);
  }
}

// f16 d; 32 bytes of indices; per 32 elements a u16 of four times three high bits, a scale of 3
// bits and the sign of delta
void block_iq1_s(const CodeByte* p, float* out) {
  const float d = half_at(p);
  for (int group = 0; group < 8; ++group) {
    const auto rest = number_at<std::uint16_t>(p + 34 + 2 * group);
    const float scale = d * static_cast<float>(2 * ((rest >> 12) & 7) + 1);
    const float delta = (rest & 0x8000) == 0 ? kIq1Delta : -kIq1Delta;
    for (int i = 0; i < 4; ++i) {
      const int high = (rest >> (3 * i)) & 7;
      put_iq1(scale, kIq1Grid[static_cast<std::size_t>(p[2 + 4 * group + i] | high << 8)], delta,
              out + 32 * group + 8 * i);
    }
  }
}

// 32 bytes of indices; 16 bytes, a half for 8 elements: three high bits and the sign of delta; 4
// u16 of four scales of 3 bits, each for 16 elements, and 4 bits of the f16 d
void block_iq1_m(const CodeByte* p, float* out) {
  unsigned bits = 0;
  for (int i = 0; i < 4; ++i)
    bits |= static_cast<unsigned>(number_at<std::uint16_t>(p + 48 + 2 * i) >> 12) << (4 * i);
  const float d = float_from_f16(static_cast<std::uint16_t>(bits));
  for (int i = 0; i < 32; ++i) {
    const int part = i / 2;
    const int s = (number_at<std::uint16_t>(p + 48 + part / 4 * 2) >> (part % 4 * 3)) & 7;
    const int rest = (p[32 + part] >> (i % 2 * 4)) & 15;
    put_iq1(d * static_cast<float>(2 * s + 1),
            kIq1Grid[static_cast<std::size_t>(p[i] | (rest & 7) << 8)],
            (rest & 8) == 0 ? kIq1Delta : -kIq1Delta, out + 8 * i);
  }
}

// f16 d; halves as in Q4_0
void block_iq4_nl(const CodeByte* p, float* out) {
  const float d = half_at(p);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * kIq4Numbers[p[2 + i] & 15];
    out[16 + i] = d * kIq4Numbers[p[2 + i] >> 4];
  }
}

// f16 d; u16 of the high two bits of eight scales; 4 bytes of their low four, minus 32; 128 bytes:
// of each 16, halves as in Q4_0
void block_iq4_xs(const CodeByte* p, float* out) {
  const float d = half_at(p);
  const auto high = number_at<std::uint16_t>(p + 2);
  for (int group = 0; group < 8; ++group) {
    const int low = (p[4 + group / 2] >> (group % 2 * 4)) & 15;
    const float scale = d * static_cast<float>((low | ((high >> (2 * group)) & 3) << 4) - 32);
    const CodeByte* q = p + 8 + 16 * group;
    for (int i = 0; i < 16; ++i) {
      out[32 * group + i] = scale * kIq4Numbers[q[i] & 15];
      out[32 * group + 16 + i] = scale * kIq4Numbers[q[i] >> 4];
    }
  }
}

// A byte e: 2^(e - 128); halves as in Q4_0. In float64, for 2^(e - 128) may be a subnormal float32.
void block_mxfp4(const CodeByte* p, float* out) {
  const double d = std::ldexp(1.0, p[0] - 128);
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<float>(d * kMxfp4Numbers[p[1 + i] & 15]);
    out[16 + i] = static_cast<float>(d * kMxfp4Numbers[p[1 + i] >> 4]);
  }
}

}  // namespace tovamill
