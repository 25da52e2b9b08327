// Norms, activations, conversions, rotations: one pass over a row each. Included by the isa_*.cc
// files only.
#pragma once

#include <cmath>

#include "kernels/cpu/simd.h"

namespace {

// Calls f(i) for whole vectors, then tail(i) for single elements.
template <class Body, class Tail>
inline void for_each_vector(std::int64_t n, Body body, Tail tail) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i);
  for (; i < n; ++i) tail(i);
}

inline std::uint16_t bf16_bits(float x) {
  std::uint32_t b;
  std::memcpy(&b, &x, 4);
  if (x != x) return static_cast<std::uint16_t>((b >> 16) | 0x40u);
  return static_cast<std::uint16_t>((b + 0x7fffu + ((b >> 16) & 1u)) >> 16);
}
inline float bf16_value(std::uint16_t h) {
  const std::uint32_t b = static_cast<std::uint32_t>(h) << 16;
  float x;
  std::memcpy(&x, &b, 4);
  return x;
}

inline void put(float* p, Vf v) { store(p, v); }
inline void put(std::uint16_t* p, Vf v) { store_bf16(p, v); }
inline void put(float* p, float v) { *p = v; }
inline void put(std::uint16_t* p, float v) { *p = bf16_bits(v); }

void to_bf16(const float* in, std::int64_t n, std::uint16_t* out) {
  for_each_vector(
      n, [&](std::int64_t i) { store_bf16(out + i, load(in + i)); },
      [&](std::int64_t i) { out[i] = bf16_bits(in[i]); });
}

void from_bf16(const std::uint16_t* in, std::int64_t n, float* out) {
  for_each_vector(
      n, [&](std::int64_t i) { store(out + i, load_bf16(in + i)); },
      [&](std::int64_t i) { out[i] = bf16_value(in[i]); });
}

float sum_of_squares(const float* x, std::int32_t n) {
  Vf a{}, b{};
  std::int32_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const Vf u = load(x + i), v = load(x + i + kLanes);
    a += u * u;
    b += v * v;
  }
  float sum = fold_sum(a + b);
  for (; i < n; ++i) sum += x[i] * x[i];
  return sum;
}

float norm2(const float* x, std::int32_t n) { return std::sqrt(sum_of_squares(x, n)); }

template <class Out>
void scale(const float* x, float factor, std::int32_t n, Out* out) {
  for_each_vector(
      n, [&](std::int64_t i) { put(out + i, load(x + i) * factor); },
      [&](std::int64_t i) { put(out + i, x[i] * factor); });
}

template <class Out>
void rms_norm(const float* x, const float* weight, std::int32_t n, float eps, Out* out) {
  const float scale = 1.0f / std::sqrt(sum_of_squares(x, n) / static_cast<float>(n) + eps);
  for_each_vector(
      n, [&](std::int64_t i) { put(out + i, load(x + i) * scale * load(weight + i)); },
      [&](std::int64_t i) { put(out + i, x[i] * scale * weight[i]); });
}

template <class Out>
void layer_norm(const float* x, const float* weight, const float* bias, std::int32_t n, float eps,
                Out* out) {
  Vf total{};
  float mean = 0.0f;
  for_each_vector(
      n, [&](std::int64_t i) { total += load(x + i); }, [&](std::int64_t i) { mean += x[i]; });
  mean = (mean + fold_sum(total)) / static_cast<float>(n);
  Vf squares{};
  float sum = 0.0f;
  for_each_vector(
      n,
      [&](std::int64_t i) {
        const Vf v = load(x + i) - mean;
        squares += v * v;
      },
      [&](std::int64_t i) { sum += (x[i] - mean) * (x[i] - mean); });
  sum += fold_sum(squares);
  const float scale = 1.0f / std::sqrt(sum / static_cast<float>(n) + eps);
  for_each_vector(
      n,
      [&](std::int64_t i) {
        const Vf v = (load(x + i) - mean) * scale * load(weight + i);
        put(out + i, bias == nullptr ? v : v + load(bias + i));
      },
      [&](std::int64_t i) {
        const float v = (x[i] - mean) * scale * weight[i];
        put(out + i, bias == nullptr ? v : v + bias[i]);
      });
}

// e^x of what is at most 0 to 2^126: the clamp keeps 2^x finite, where what is divided by it is 0
// to the last bit.
inline Vf exp_of_negative(Vf x) { return exp2(min(x * -kLog2E, splat(126.0f))); }

// Activations, of vectors and of single elements.
struct Silu {
  static Vf of(Vf x) { return x / (exp_of_negative(x) + 1.0f); }
  static float of(float x) { return x / (1.0f + std::exp(-x)); }
};
// x (1 + tanh u) / 2 = x / (1 + e^(-2 u)).
struct GeluTanh {
  static constexpr float kTwice = 1.5957691216057308f, kCubic = 0.044715f;  // 2 sqrt(2 / pi)
  static Vf of(Vf x) { return x / (exp_of_negative((x + x * x * x * kCubic) * kTwice) + 1.0f); }
  static float of(float x) { return x / (1.0f + std::exp(-(x + x * x * x * kCubic) * kTwice)); }
};
// x Phi(x); Phi(-|x|) = erfc(|x| / sqrt(2)) / 2 by Abramowitz and Stegun 7.1.26 (within 1.5e-7),
// which is as exact where Phi is next to 0.
struct Gelu {
  static Vf of(Vf x) {
    const Vf size = max(x, -x) * 0.70710678f;
    const Vf t = 1.0f / (size * 0.3275911f + 1.0f);
    const Vf p = ((((t * 1.061405429f - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t +
                  0.254829592f) *
                 t;
    const Vf below = p * exp2(max(size * size * -kLog2E, splat(-126.0f))) * 0.5f;
    return x * (x > Vf{} ? 1.0f - below : below);
  }
  static float of(float x) { return 0.5f * x * std::erfc(-x * 0.70710678f); }
};
struct Relu2 {
  static Vf of(Vf x) { return x < Vf{} ? Vf{} : x * x; }
  static float of(float x) { return x < 0.0f ? 0.0f : x * x; }
};

template <class Activation, class Out>
void gate(const tovamill::Xielu&, const float* g, const float* up, std::int32_t n, Out* out) {
  for_each_vector(
      n,
      [&](std::int64_t i) {
        const Vf x = Activation::of(load(g + i));
        put(out + i, up == nullptr ? x : x * load(up + i));
      },
      [&](std::int64_t i) {
        const float x = Activation::of(g[i]);
        put(out + i, up == nullptr ? x : x * up[i]);
      });
}

// Activation::clamped_swiglu; without `up` it is 0. Comparisons that keep a NaN.
struct ClampedSwiglu {
  static constexpr float kLimit = tovamill::kSwigluLimit, kSlope = tovamill::kSwigluSlope;
  static Vf of(Vf g, Vf up) {
    const Vf x = g > splat(kLimit) ? splat(kLimit) : g;
    const Vf low = up > splat(kLimit) ? splat(kLimit) : up;
    const Vf u = low < splat(-kLimit) ? splat(-kLimit) : low;
    return x / (exp_of_negative(x * kSlope) + 1.0f) * (u + 1.0f);
  }
  static float of(float g, float up) {
    const float x = g > kLimit ? kLimit : g, low = up > kLimit ? kLimit : up;
    return x / (1.0f + std::exp(-x * kSlope)) * ((low < -kLimit ? -kLimit : low) + 1.0f);
  }
};

template <class Out>
void gate_clamped(const tovamill::Xielu&, const float* g, const float* up, std::int32_t n,
                  Out* out) {
  for_each_vector(
      n,
      [&](std::int64_t i) {
        put(out + i, ClampedSwiglu::of(load(g + i), up == nullptr ? Vf{} : load(up + i)));
      },
      [&](std::int64_t i) { put(out + i, ClampedSwiglu::of(g[i], up == nullptr ? 0.0f : up[i])); });
}

// e^x - 1 of what is at most 0 is as exact as sums of numbers near 1.
template <class Out>
void xielu(const tovamill::Xielu& a, const float* g, const float* up, std::int32_t n, Out* out) {
  for_each_vector(
      n,
      [&](std::int64_t i) {
        const Vf x = load(g + i);
        const Vf below = exp2(max(min(x, splat(a.eps)) * kLog2E, splat(-126.0f))) - 1.0f - x;
        const Vf y = (x > Vf{} ? x * x * a.alpha_p : below * a.alpha_n) + x * a.beta;
        put(out + i, up == nullptr ? y : y * load(up + i));
      },
      [&](std::int64_t i) {
        const float x = g[i], below = std::expm1(x < a.eps ? x : a.eps) - x;
        const float y = (x > 0.0f ? x * x * a.alpha_p : below * a.alpha_n) + x * a.beta;
        put(out + i, up == nullptr ? y : y * up[i]);
      });
}

// cap tanh(x / cap) = cap (1 - 2 / (e^(2 x / cap) + 1)); NaN stays NaN.
void cap(float* row, std::int32_t n, float cap) {
  const float twice = 2.0f / cap;
  for_each_vector(
      n,
      [&](std::int64_t i) {
        const Vf given = load(row + i), x = max(min(given * twice, splat(60.0f)), splat(-60.0f));
        const Vf capped = (1.0f - 2.0f / (exp2(x * kLog2E) + 1.0f)) * cap;
        store(row + i, given == given ? capped : given);
      },
      [&](std::int64_t i) { row[i] = cap * std::tanh(row[i] / cap); });
}

void rotate(const float* in, const float* cosines, const float* sines, std::int32_t half,
            float* out) {
  for_each_vector(
      half,
      [&](std::int64_t i) {
        const Vf a = load(in + i), b = load(in + half + i), c = load(cosines + i),
                 s = load(sines + i);
        store(out + i, a * c - b * s);
        store(out + half + i, b * c + a * s);
      },
      [&](std::int64_t i) {
        const float a = in[i], b = in[half + i];
        out[i] = a * cosines[i] - b * sines[i];
        out[half + i] = b * cosines[i] + a * sines[i];
      });
}

float sum_exp(const float* x, std::int32_t n, float* highest) {
  Vf top = splat(-INFINITY);
  Vi not_numbers{};
  std::int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vf v = load(x + i);
    not_numbers |= v != v;
    top = max(top, v);
  }
  float m = fold_max(top);
  bool is_number = !any_lane(not_numbers);
  for (; i < n; ++i) {
    is_number = is_number && x[i] == x[i];
    m = x[i] > m ? x[i] : m;
  }
  *highest = m;
  if (!is_number) return NAN;
  Vf a{}, b{};
  i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    a += exp2((load(x + i) - m) * kLog2E);
    b += exp2((load(x + i + kLanes) - m) * kLog2E);
  }
  float sum = fold_sum(a + b);
  for (; i < n; ++i) sum += std::exp(x[i] - m);
  return sum;
}

// Sixteen columns at a time are gathered so that each row of `out` is written in whole cache lines.
template <class In>
void transpose(const In* rows, std::int32_t n_cols, std::int32_t padded, std::int32_t depth,
               float* out, std::int64_t ld) {
  constexpr std::int32_t kBlock = 16;
  for (std::int32_t c0 = 0; c0 < padded; c0 += kBlock) {
    const std::int32_t n = n_cols - c0 < kBlock ? (n_cols > c0 ? n_cols - c0 : 0) : kBlock;
    for (std::int32_t k = 0; k < depth; ++k) {
      float line[kBlock] = {};
      for (std::int32_t c = 0; c < n; ++c) {
        const In x = rows[static_cast<std::int64_t>(c0 + c) * depth + k];
        if constexpr (sizeof(In) == 2) {
          line[c] = bf16_value(x);
        } else {
          line[c] = x;
        }
      }
      std::memcpy(out + k * ld + c0, line, sizeof line);
    }
  }
}

}  // namespace
