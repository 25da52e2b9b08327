// Streams of made-up queries, keys and values through `Backend::attend` alone, several side by side
// in steps of any mixture of blocks: what each row attended to and which tokens left.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <compare>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/backend.h"
#include "kernels/types/tensor.h"
#include "tests/support/attention/devices.h"
#include "tests/support/attention/policies.h"

namespace tovamill::testing {

struct AttentionSetting {
  std::int32_t head_dim = 16, n_kv_heads = 2, per_kv = 3, sliding_window = 0;
  bool rotates = true;
  // Of kLayers; unless given both have `sliding_window`. Their `rope` is 0, 1 or kNoRope.
  std::vector<LayerShape> layers = {};
  CacheOptions cache;
  DeviceKind device = DeviceKind::cpu;
  ComputeType dtype = ComputeType::f32;
  int n_threads = 2;
  std::uint64_t device_bytes = kTestDeviceBytes;
  std::int32_t max_rows = 1024;  // of a step
};

// One row of a step after another, of each layer: (q_size + 2 kv_size) values that bf16 holds.
using AttentionInput = std::vector<std::vector<float>>;

// What a stream does next.
struct NextBlock {
  std::int32_t n_tokens = 1, pin = 0;
  bool keeps_all = false;
};

struct Left {
  std::int32_t layer, step, group, position;
  auto operator<=>(const Left&) const = default;
};

struct AttentionStream {
  AttentionInput input;  // (n_layers, n_tokens * row)
  std::vector<NextBlock> blocks;
  std::uint64_t random_key = 0x123456789abcdef;  // StepBlock::random_key
  std::unique_ptr<StreamState> state = nullptr;  // a fresh one unless given
  std::size_t n_blocks = 0;                      // done
  std::int64_t position = 0;
  std::vector<double> out = {};     // rows of all blocks, (n_layers, q_size) each
  std::vector<Left> left = {};      // in order of layer, step and group, of a step as told
  std::vector<float> weights = {};  // of those that left
  std::vector<std::uint64_t> n_attended = {};  // of each block and layer
};

class AttentionDevice {
 public:
  static constexpr std::int32_t kLayers = 2;

  explicit AttentionDevice(const AttentionSetting& s) {
    shape_ = {.n_layers = kLayers,
              .hidden_size = 8,
              .intermediate_size = 8,
              .n_heads = s.n_kv_heads * s.per_kv,
              .n_kv_heads = s.n_kv_heads,
              .head_dim = s.head_dim,
              .vocab_size = 16,
              .trained_context = 512,
              .layers = s.layers};
    std::vector<double>& frequencies = shape_.ropes.emplace_back();
    for (std::int32_t i = 0; i < s.head_dim / 2; ++i)
      frequencies.push_back(s.rotates ? std::pow(100.0, -2.0 * i / s.head_dim) : 0.0);
    for (const LayerShape& layer : s.layers) {  // other tables turn slower
      if (layer.rope < static_cast<std::int32_t>(shape_.ropes.size())) continue;
      shape_.ropes.push_back(shape_.ropes.back());
      for (double& f : shape_.ropes.back()) f /= 8;
    }
    if (s.layers.empty()) shape_.layers.assign(kLayers, {.sliding_window = s.sliding_window});
    for (std::size_t l = 0; l < shape_.layers.size(); ++l) {
      for (std::int32_t h = 0; shape_.layers[l].has_sinks && h < shape_.n_heads; ++h)
        weights_[l].sinks.push_back(h % 2 == 0 ? 4.0f : -1.0f);
    }
    backend_ = make_backend(s.device, {.shape = shape_,
                                       .cache = s.cache,
                                       .dtype = s.dtype,
                                       .n_threads = s.n_threads,
                                       .max_rows = s.max_rows,
                                       .max_block = s.max_rows,
                                       .device_bytes = s.device_bytes});
    qkv_ = backend_->device().make_buffer(s.max_rows, row(), BufferType::full);
    out_ = backend_->device().make_buffer(s.max_rows, shape_.q_size(), BufferType::compute);
  }

  Backend& backend() { return *backend_; }
  std::int32_t row() const { return shape_.q_size() + 2 * shape_.kv_size(); }

  // Scores of a few units, so that weights differ.
  AttentionInput input(std::int64_t n_tokens, std::uint32_t seed, float query_spread = 1.5f) const {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    AttentionInput all(kLayers);
    for (std::vector<float>& layer : all) {
      for (std::int64_t i = 0; i < n_tokens * row(); ++i) {
        const float x = normal(random) * (i % row() < shape_.q_size() ? query_spread : 1.0f);
        layer.push_back(float_from_bf16(bf16_from_float(x)));
      }
    }
    return all;
  }

  // One step with the next block of each stream that has one.
  void step(std::vector<AttentionStream*> streams) {
    std::erase_if(streams, [](auto* s) { return s->n_blocks == s->blocks.size(); });
    std::vector<StepBlock> blocks;
    std::int32_t n_rows = 0;
    for (AttentionStream* s : streams) {
      if (s->state == nullptr) s->state = backend_->make_state();
      const NextBlock& next = s->blocks[s->n_blocks];
      blocks.push_back({.state = s->state.get(),
                        .first_row = n_rows,
                        .n_tokens = next.n_tokens,
                        .position = s->position,
                        .pin = next.pin,
                        .random_key = s->random_key,
                        .keeps_all = next.keeps_all});
      n_rows += next.n_tokens;
    }
    backend_->begin_step(blocks, n_rows);
    std::vector<std::vector<BlockEvents>> events(kLayers, std::vector<BlockEvents>(blocks.size()));
    for (std::int32_t layer = 0; layer < kLayers; ++layer) {
      for (std::size_t b = 0; b < blocks.size(); ++b) fill(*streams[b], layer, blocks[b]);
      backend_->attend(layer, weights_[static_cast<std::size_t>(layer)], *qkv_, *out_,
                       events[static_cast<std::size_t>(layer)]);
      for (std::size_t b = 0; b < blocks.size(); ++b) note(*streams[b], layer, blocks[b]);
    }
    backend_->finish_step();
    for (std::int32_t layer = 0; layer < kLayers; ++layer) {
      for (std::size_t b = 0; b < blocks.size(); ++b)
        note(*streams[b], layer, events[static_cast<std::size_t>(layer)][b]);
    }
    for (AttentionStream* s : streams) s->position += s->blocks[s->n_blocks++].n_tokens;
  }
  void run(AttentionStream& stream) {
    while (stream.n_blocks < stream.blocks.size()) step({&stream});
    sort(stream);
  }
  static void sort(AttentionStream& s) {
    std::vector<std::size_t> order(s.left.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      const Left &x = s.left[a], &y = s.left[b];
      return std::tie(x.layer, x.step, x.group) < std::tie(y.layer, y.step, y.group);
    });
    const std::vector<Left> left = s.left;
    const std::vector<float> weights = s.weights;
    for (std::size_t i = 0; i < order.size(); ++i) {
      s.left[i] = left[order[i]];
      s.weights[i] = weights[order[i]];
    }
  }

 private:
  void fill(const AttentionStream& s, std::int32_t layer, const StepBlock& b) {
    for (std::int32_t r = 0; r < b.n_tokens; ++r) {
      const float* from =
          s.input[static_cast<std::size_t>(layer)].data() + (b.position + r) * row();
      backend_->device().write_rows(*qkv_, b.first_row + r,
                                    {from, static_cast<std::size_t>(row())});
    }
  }
  void note(AttentionStream& s, std::int32_t layer, const StepBlock& b) const {
    const auto q_size = static_cast<std::size_t>(shape_.q_size());
    s.out.resize(static_cast<std::size_t>(b.position + b.n_tokens) * kLayers * q_size);
    std::vector<float> row(q_size);
    for (std::int32_t r = 0; r < b.n_tokens; ++r) {
      backend_->device().read_rows(*out_, b.first_row + r, row);
      const auto at =
          (static_cast<std::size_t>(b.position + r) * kLayers + static_cast<std::size_t>(layer)) *
          q_size;
      std::copy(row.begin(), row.end(), s.out.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }
  static void note(AttentionStream& s, std::int32_t layer, const BlockEvents& e) {
    for (const Eviction& x : e.evictions) {
      s.left.push_back({layer, x.step, x.group, x.position});
      s.weights.push_back(x.weight);
    }
    s.n_attended.push_back(e.n_attended);
  }

  ModelShape shape_;
  std::array<AttentionWeights, kLayers> weights_;  // of norms and sinks
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Buffer> qkv_, out_;
};

}  // namespace tovamill::testing
