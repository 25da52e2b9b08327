// The rows of a step as attention takes them: queries and keys normalised and rotated, norms of the
// values.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/attention/attention_model.h"
#include "kernels/cpu/rotary_angles.h"
#include "kernels/cpu/thread_pool.h"

namespace tovamill::cpu {

class AttentionRows {
 public:
  explicit AttentionRows(std::span<const AttentionModel> models);

  // The rotary angles of the blocks' rows. Takes the states' counts of tokens before their current
  // RoPE segment on.
  void begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows, ThreadPool& pool);
  // Norms where the layer has them (as many numbers at once as there are weights), rotation of the
  // queries in place and of the keys beside them. qkv (n_rows, q_size + 2 kv_size), overwritten.
  void prepare(const AttentionModel& model, const LayerShape& layer,
               const AttentionWeights& weights, float* qkv, const IsaKernels& isa,
               ThreadPool& pool);

  const RotaryAngles& angles(std::int32_t rope) const {
    return angles_[static_cast<std::size_t>(rope)];
  }
  // (head_dim) each, of a row of the step.
  const float* query(std::int64_t row, std::int32_t head) const {
    return qkv_ + row * model_->row_size() + std::int64_t{head} * model_->shape.head_dim;
  }
  const float* key(std::int64_t row, std::int32_t kv) const {
    return query(row, model_->shape.n_heads + kv);
  }
  const float* value(std::int64_t row, std::int32_t kv) const {
    return query(row, model_->shape.n_heads + model_->shape.n_kv_heads + kv);
  }
  const float* rotated_key(std::int64_t row, std::int32_t kv) const {
    return rotated_keys_.data() + row * model_->shape.kv_size() +
           std::int64_t{kv} * model_->shape.head_dim;
  }
  // L2 norm of the row's value, the mean over KV heads; where the policy asks for it.
  float value_norm(std::int64_t row) const { return value_norms_[static_cast<std::size_t>(row)]; }

  std::uint64_t bytes() const;

 private:
  void fill_angles(const StepBlock& block);
  void normalize(float* x, std::int32_t n, std::span<const float> weights,
                 const IsaKernels& isa) const;
  // `angles` are null where nothing is rotated; `factor` as query_factor.
  void prepare_queries(float* q, const float* angles, const AttentionWeights& weights, float factor,
                       const IsaKernels& isa) const;
  void prepare_keys(std::int32_t row, float* k, const float* angles, std::span<const float> norm,
                    const IsaKernels& isa);

  // (2, head_dim / 2) of a row.
  float* row_angles(std::size_t rope, std::int64_t row) {
    return row_angles_[rope].data() +
           row * static_cast<std::int64_t>(2 * common_.shape.ropes[rope].size());
  }

  const AttentionModel& common_;           // what is the same for all layers
  const AttentionModel* model_ = nullptr;  // of the layer being run
  std::vector<RotaryAngles> angles_;       // by rotary table
  std::int32_t n_rows_ = 0;
  std::vector<std::vector<float>>
      row_angles_;                       // by table (max_rows, 2, head_dim / 2): cosines, sines
  std::vector<float> rotated_keys_;      // (max_rows, kv_size)
  std::vector<float> value_norms_;       // (max_rows)
  std::vector<std::int64_t> positions_;  // (max_rows) in the stream
  const float* qkv_ = nullptr;           // of the layer being run
};

}  // namespace tovamill::cpu
