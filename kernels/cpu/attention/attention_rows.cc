#include "kernels/cpu/attention/attention_rows.h"

#include <algorithm>

#include "kernels/types/model_limits.h"

namespace tovamill::cpu {
namespace {

constexpr std::int32_t kRowsPerTask = 16;

// Positions whose angles are looked up.
std::int64_t n_tabulated(const AttentionModel& model) {
  const bool in_state = model.cache.positions == Positions::in_state;
  return (in_state ? model.cache.cache_size : model.clip) + 2 * kRopeSegmentTokens;
}

}  // namespace

AttentionRows::AttentionRows(std::span<const AttentionModel> models) : common_(models.front()) {
  const AttentionModel& model = common_;
  const auto rows = static_cast<std::size_t>(model.max_rows);
  for (const std::vector<double>& inv_freq : model.shape.ropes) {
    angles_.emplace_back(inv_freq, n_tabulated(model));
    row_angles_.emplace_back(rows * 2 * inv_freq.size());
  }
  std::int32_t widest = 0;
  for (const AttentionModel& m : models) widest = std::max(widest, m.shape.kv_size());
  rotated_keys_.resize(rows * static_cast<std::size_t>(widest));
  value_norms_.resize(rows);
  positions_.resize(rows);
}

void AttentionRows::begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows,
                               ThreadPool& pool) {
  n_rows_ = n_rows;
  pool.run(static_cast<std::int64_t>(blocks.size()),
           [&](std::int64_t b, int) { fill_angles(blocks[static_cast<std::size_t>(b)]); });
}

// In-state positions go on from the tokens that were held when the row's RoPE segment began.
void AttentionRows::fill_angles(const StepBlock& block) {
  auto& state = *static_cast<CpuState*>(block.state);
  const std::int64_t held = state.n_slots(0), most = common_.cache.cache_size;
  const bool grows = !is_bounded(common_.cache) || block.keeps_all || held > most;
  for (std::int32_t i = 0; i < block.n_tokens; ++i) {
    const std::int64_t position = block.position + i;
    positions_[static_cast<std::size_t>(block.first_row + i)] = position;
    if (position % kRopeSegmentTokens == 0)
      state.n_before_segment() = grows ? held + i : std::min(held + i, most);
    const std::int64_t place =
        rotary_position(common_.cache, common_.clip, position, state.n_before_segment());
    for (std::size_t rope = 0; rope < angles_.size(); ++rope) {
      float* row = row_angles(rope, block.first_row + i);
      angles_[rope].fill(place, row, row + common_.shape.ropes[rope].size());
    }
  }
}

void AttentionRows::prepare(const AttentionModel& model, const LayerShape& layer,
                            const AttentionWeights& weights, float* qkv, const IsaKernels& isa,
                            ThreadPool& pool) {
  model_ = &model;
  qkv_ = qkv;
  pool.run((n_rows_ + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task, int) {
    const auto begin = static_cast<std::int32_t>(task) * kRowsPerTask;
    for (std::int32_t r = begin; r < std::min(begin + kRowsPerTask, n_rows_); ++r) {
      float* q = qkv + r * model_->row_size();
      const float* angles =
          layer.rope == kNoRope ? nullptr : row_angles(static_cast<std::size_t>(layer.rope), r);
      const std::int64_t position = positions_[static_cast<std::size_t>(r)];
      const auto factor = static_cast<float>(query_factor(layer, position));
      float* k = q + model_->shape.q_size();
      normalize(k + model_->shape.kv_size(), model_->shape.kv_size(), weights.v_norm, isa);
      prepare_queries(q, angles, weights, factor, isa);
      prepare_keys(r, k, angles, weights.k_norm, isa);
    }
  });
}

// `n` numbers of queries or keys, as many at once as there are weights.
void AttentionRows::normalize(float* x, std::int32_t n, std::span<const float> weights,
                              const IsaKernels& isa) const {
  if (weights.empty()) return;
  const auto each = static_cast<std::int32_t>(weights.size());
  for (std::int32_t first = 0; first < n; first += each)
    isa.rms_norm(x + first, weights.data(), each, model_->shape.qk_norm_eps, x + first);
}

// Queries meet keys as a state keeps them: rounded to bf16 where those are.
void AttentionRows::prepare_queries(float* q, const float* angles, const AttentionWeights& weights,
                                    float factor, const IsaKernels& isa) const {
  const std::int32_t d = model_->shape.head_dim, half = d / 2;
  std::uint16_t rounded[kMaxHeadDim];
  normalize(q, model_->shape.q_size(), weights.q_norm, isa);
  for (std::int32_t h = 0; h < model_->shape.n_heads; ++h, q += d) {
    if (angles != nullptr) isa.rotate(q, angles, angles + half, half, q);
    if (factor != 1.0f) isa.scale(q, factor, d, q);
    for (std::size_t i = 0; i < weights.q_factor.size(); ++i) q[i] *= weights.q_factor[i];
    if (model_->type != ComputeType::bf16) continue;
    isa.to_bf16(q, d, rounded);
    isa.from_bf16(rounded, d, q);
  }
}

void AttentionRows::prepare_keys(std::int32_t row, float* k, const float* angles,
                                 std::span<const float> norm, const IsaKernels& isa) {
  const std::int32_t d = model_->shape.head_dim, half = d / 2, n_kv = model_->shape.n_kv_heads;
  float* rotated = rotated_keys_.data() + std::int64_t{row} * model_->shape.kv_size();
  const bool wants_norms = model_->layout.memory == PolicyMemory::average;
  float norms = 0.0f;
  normalize(k, model_->shape.kv_size(), norm, isa);
  for (std::int32_t h = 0; h < n_kv; ++h, k += d) {
    if (angles != nullptr) {
      isa.rotate(k, angles, angles + half, half, rotated + h * d);
    } else {
      std::copy_n(k, d, rotated + h * d);
    }
    if (wants_norms) norms += isa.norm2(k + model_->shape.kv_size(), d);
  }
  value_norms_[static_cast<std::size_t>(row)] = norms / static_cast<float>(n_kv);
}

std::uint64_t AttentionRows::bytes() const {
  std::uint64_t n = (rotated_keys_.size() + value_norms_.size()) * sizeof(float) +
                    positions_.size() * sizeof(std::int64_t);
  for (const RotaryAngles& angles : angles_) n += angles.n_bytes();
  for (const std::vector<float>& angles : row_angles_) n += angles.size() * sizeof(float);
  return n;
}

}  // namespace tovamill::cpu
