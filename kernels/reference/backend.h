// The obvious implementation: float64 throughout, one token after another, no blocking, no
// reordering. It is the truth that the fast backends are tested against, and slow.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/reference/device.h"
#include "kernels/reference/merge.h"
#include "kernels/reference/policy.h"

namespace tovamill::reference {

// What one KV head keeps: parallel vectors, one entry a token, in order of age.
struct HeadState {
  std::vector<TokenMemory> tokens;
  std::vector<std::vector<double>> keys;    // unrotated, (head_dim) each
  std::vector<std::vector<double>> values;  // (head_dim) each
  // In-state positions: tokens held when the current RoPE segment began.
  std::int64_t n_before_segment = 0;
  MergeState merging;
};

struct ReferenceState final : StreamState {
  std::vector<std::vector<HeadState>> layers;  // (n_layers, n_kv_heads)
  std::int64_t n_tokens = 0;                   // that the stream has taken
  std::int32_t pin = 0;                        // of the blocks so far
};

class ReferenceBackend final : public Backend {
 public:
  explicit ReferenceBackend(const BackendOptions& options);

  Device& device() override { return device_; }
  const Device& device() const override { return device_; }

  std::unique_ptr<StreamState> make_state() override;
  std::uint64_t state_bytes() const override;
  // Bytes of keys and values.
  std::uint64_t state_bytes_for(std::int64_t n_tokens, bool keeps_all) const override;
  std::uint64_t workspace_bytes() const override { return 0; }
  std::uint64_t workspace_bytes_for(std::int64_t, bool) const override { return 0; }

  void begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows) override;
  void embed(std::span<const std::int32_t> ids, const TensorView& embedding, float factor,
             Buffer& out) override;
  void scale(Buffer& x, float factor) override;
  void copy_columns(const Buffer& from, std::int32_t from_first, Buffer& to, std::int32_t to_first,
                    std::int32_t n) override;
  void multiply_columns(Buffer& x, const Buffer& by, std::int32_t first) override;
  void norm(const Buffer& x, const NormWeights& weights, Buffer& out) override;
  void norm_add(const Buffer& x, const NormWeights& weights, Buffer& hidden) override;
  void convert(const Buffer& x, Buffer& out) override;
  void project(const Buffer& x, const Matrix& w, Buffer& out) override;
  void project_add(const Buffer& x, const Matrix& w, Buffer& hidden) override;
  void project_gated(const Buffer& x, const Matrix& gate_up, Activation activation,
                     Buffer& out) override;
  void project_activated(const Buffer& x, const Matrix& up, Activation activation,
                         const Xielu& xielu, Buffer& out) override;
  void add_experts(const Buffer& x, const Matrix& router, const Experts& experts,
                   const LayerShape& layer, Buffer& hidden) override;
  void add_weighted(const Buffer& y, const Buffer& x, std::span<const float> gate,
                    Buffer& hidden) override;
  void attend(std::int32_t layer, const AttentionWeights& weights, Buffer& qkv, Buffer& out,
              std::span<BlockEvents> events) override;
  void target_nll(const Buffer& x, const Matrix& head, std::span<const std::int32_t> targets,
                  std::span<float> nll) override;
  void read_logits(const Buffer& x, const Matrix& head, std::span<const std::int32_t> rows,
                   std::span<float> logits) override;

  void reset(StreamState& state) override;
  void reserve(StreamState&, std::int64_t, bool) override {}
  void copy(const StreamState& from, StreamState& to) override;
  std::int64_t n_tokens(const StreamState& state) const override;
  void save(const StreamState& state, std::vector<std::byte>& out) const override;
  std::int64_t load(StreamState& state, std::span<const std::byte> bytes) override;
  std::vector<std::int32_t> read_positions(const StreamState& state, std::int32_t layer,
                                           std::int32_t group) const override;
  std::vector<std::vector<std::int32_t>> read_all_positions(
      const StreamState& state) const override;

 private:
  struct Query;  // one token on its way through attention
  void attend_token(std::vector<HeadState>& heads, const Query& query, const StepBlock& block,
                    BlockEvents& events);
  void append_token(HeadState& head, const Query& query, std::int32_t kv) const;
  void rotate_merged(HeadState& head, const Query& query) const;
  std::vector<double> attend_head(HeadState& head, const std::vector<std::vector<double>>& keys,
                                  const Query& query, std::int32_t h) const;
  void drop_token(HeadState& head, const Query& query, std::size_t at) const;
  void merge_where_due(HeadState& head, const Query& query) const;
  void decide(std::span<HeadState> heads, const Query& query, std::int32_t group,
              std::span<const std::vector<double>> head_weights, const StepBlock& block,
              BlockEvents& events);
  void rotate_head(const LayerShape& layer, double* head, double position) const;
  double value_norm(const Query& query) const;
  double score_scale(const Query& query) const;
  void normalize_heads(double* x, std::int32_t n, std::span<const float> weights) const;
  void normalize_row(const double* from, const NormWeights& weights,
                     std::vector<double>& out) const;
  double capped_logit(const Matrix& head, std::int32_t id, const double* x) const;
  double rotary_position(const HeadState& head, std::size_t token, std::int64_t step) const;
  double clipped_position(double position, std::int64_t step) const;

  BackendOptions options_;
  ReferenceDevice device_;
  std::vector<StepBlock> blocks_;
  std::int32_t n_rows_ = 0;
};

// Turns the pairs (i, i + d/2) of a head by position * inv_freq[i].
void rotate(double* head, std::int32_t head_dim, double position,
            const std::vector<double>& inv_freq);

// Whether the query at `step` sees the token at `position`, through the layer's sliding window.
bool is_visible(const LayerShape& layer, std::int64_t step, std::int64_t position);

// x / rms(x) * weight in place (NormKind::rms).
void normalize(double* x, std::int32_t n, const float* weight, double eps);

}  // namespace tovamill::reference
