#include "kernels/reference/backend.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/reference/feed_forward.h"

namespace tovamill {

std::unique_ptr<Backend> make_reference_backend(const BackendOptions& options) {
  return std::make_unique<reference::ReferenceBackend>(options);
}

}  // namespace tovamill

namespace tovamill::reference {
namespace {

ReferenceBuffer& cast(Buffer& b) { return static_cast<ReferenceBuffer&>(b); }
const ReferenceBuffer& cast(const Buffer& b) { return static_cast<const ReferenceBuffer&>(b); }
const ReferenceMatrix& cast(const Matrix& m) { return static_cast<const ReferenceMatrix&>(m); }

}  // namespace

ReferenceBackend::ReferenceBackend(const BackendOptions& options) : options_(options) {
  options_.cache = fitted_to_windows(options.cache, options.shape);
}

std::unique_ptr<StreamState> ReferenceBackend::make_state() {
  auto state = std::make_unique<ReferenceState>();
  reset(*state);
  return state;
}

std::uint64_t ReferenceBackend::state_bytes() const { return state_bytes_for(0, false); }

std::uint64_t ReferenceBackend::state_bytes_for(std::int64_t n_tokens, bool keeps_all) const {
  const ModelShape& s = options_.shape;
  const bool grows = keeps_all || !is_bounded(options_.cache);
  std::uint64_t n = 0;
  for (std::int32_t l = 0; l < s.n_layers; ++l) {
    const std::int64_t held = grows ? n_tokens : places_of(options_.cache, s, l).size + 1;
    n += static_cast<std::uint64_t>(held) * static_cast<std::uint64_t>(s.heads(l).kv_size());
  }
  return 2ull * sizeof(double) * n;
}

void ReferenceBackend::copy(const StreamState& from, StreamState& to) {
  static_cast<ReferenceState&>(to) = static_cast<const ReferenceState&>(from);
}

std::int64_t ReferenceBackend::n_tokens(const StreamState& state) const {
  return static_cast<const ReferenceState&>(state).n_tokens;
}

void ReferenceBackend::reset(StreamState& state) {
  const ModelShape& s = options_.shape;
  static_cast<ReferenceState&>(state).n_tokens = 0;
  static_cast<ReferenceState&>(state).pin = 0;
  auto& layers = static_cast<ReferenceState&>(state).layers;
  layers.assign(static_cast<std::size_t>(s.n_layers), {});
  for (std::int32_t l = 0; l < s.n_layers; ++l) {
    layers[static_cast<std::size_t>(l)].resize(static_cast<std::size_t>(s.heads(l).n_kv_heads));
    const auto merged = static_cast<std::size_t>(places_of(options_.cache, s, l).merged);
    for (HeadState& head : layers[static_cast<std::size_t>(l)]) {
      head.merging.places.resize(merged);
      if (merged > 0)
        head.merging.queries.resize(static_cast<std::size_t>(s.heads(l).queries_per_kv_head()));
    }
  }
}

void ReferenceBackend::begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows) {
  for (const StepBlock& b : blocks) {
    const auto& layers = static_cast<const ReferenceState*>(b.state)->layers;
    for (std::int32_t l = 0; l < options_.shape.n_layers; ++l) {
      const LayerPlaces places = places_of(options_.cache, options_.shape, l);
      const std::size_t held = layers.at(static_cast<std::size_t>(l)).at(0).tokens.size();
      check_block(options_.cache, b, places, static_cast<std::int64_t>(held) + places.merged);
    }
  }
  blocks_.assign(blocks.begin(), blocks.end());
  n_rows_ = n_rows;
}

void ReferenceBackend::embed(std::span<const std::int32_t> ids, const TensorView& embedding,
                             float factor, Buffer& out) {
  std::vector<float> row(static_cast<std::size_t>(embedding.n_cols()));
  for (std::size_t r = 0; r < ids.size(); ++r) {
    dequantize_row(embedding, ids[r], row.data());
    double* to = cast(out).row(static_cast<std::int64_t>(r));
    for (std::size_t i = 0; i < row.size(); ++i)
      to[i] = static_cast<double>(row[i]) * static_cast<double>(factor);
  }
}

void normalize(double* x, std::int32_t n, const float* weight, double eps) {
  double sum = 0.0;
  for (std::int32_t i = 0; i < n; ++i) sum += x[i] * x[i];
  const double scale = 1.0 / std::sqrt(sum / n + eps);
  for (std::int32_t i = 0; i < n; ++i) x[i] *= scale * static_cast<double>(weight[i]);
}

void ReferenceBackend::normalize_row(const double* from, const NormWeights& weights,
                                     std::vector<double>& out) const {
  const auto n = static_cast<std::int32_t>(weights.weight.size());
  const double eps =
      static_cast<double>(options_.shape.norm_eps) * static_cast<double>(weights.eps_factor);
  out.assign(from, from + n);
  if (options_.shape.norm == NormKind::layer) {
    double mean = 0.0;
    for (const double value : out) mean += value / n;
    for (double& value : out) value -= mean;
  }
  normalize(out.data(), n, weights.weight.data(), eps);
  for (std::size_t i = 0; i < weights.bias.size(); ++i)
    out[i] += static_cast<double>(weights.bias[i]);
}

void ReferenceBackend::norm(const Buffer& x, const NormWeights& weights, Buffer& out) {
  std::vector<double> row;
  for (std::int32_t r = 0; r < n_rows_; ++r) {
    normalize_row(cast(x).row(r), weights, row);
    std::copy(row.begin(), row.end(), cast(out).row(r));
  }
}

void ReferenceBackend::norm_add(const Buffer& x, const NormWeights& weights, Buffer& hidden) {
  std::vector<double> row;
  for (std::int32_t r = 0; r < n_rows_; ++r) {
    for (std::int32_t first = 0; first < cast(x).cols;
         first += static_cast<std::int32_t>(weights.weight.size())) {
      normalize_row(cast(x).row(r) + first, weights, row);
      double* to = cast(hidden).row(r) + first;
      for (std::size_t i = 0; i < row.size(); ++i) to[i] += row[i];
    }
  }
}

void ReferenceBackend::convert(const Buffer& x, Buffer& out) {
  for (std::int32_t r = 0; r < n_rows_; ++r)
    std::copy_n(cast(x).row(r), options_.shape.hidden_size, cast(out).row(r));
}

void ReferenceBackend::scale(Buffer& x, float factor) {
  ReferenceBuffer& b = cast(x);
  for (std::int32_t r = 0; r < n_rows_; ++r) {
    for (std::int32_t i = 0; i < b.cols; ++i) b.row(r)[i] *= static_cast<double>(factor);
  }
}

void ReferenceBackend::copy_columns(const Buffer& from, std::int32_t from_first, Buffer& to,
                                    std::int32_t to_first, std::int32_t n) {
  for (std::int32_t r = 0; r < n_rows_; ++r)
    std::copy_n(cast(from).row(r) + from_first, n, cast(to).row(r) + to_first);
}

void ReferenceBackend::multiply_columns(Buffer& x, const Buffer& by, std::int32_t first) {
  ReferenceBuffer& b = cast(x);
  for (std::int32_t r = 0; r < n_rows_; ++r) {
    for (std::int32_t i = 0; i < b.cols; ++i) b.row(r)[i] *= cast(by).row(r)[first + i];
  }
}

void ReferenceBackend::project(const Buffer& x, const Matrix& w, Buffer& out) {
  for (std::int32_t r = 0; r < n_rows_; ++r) {
    for (std::int32_t o = 0; o < w.n_out(); ++o)
      cast(out).row(r)[o] = dot_row(cast(w), o, cast(x).row(r));
  }
}

void ReferenceBackend::project_add(const Buffer& x, const Matrix& w, Buffer& hidden) {
  for (std::int32_t r = 0; r < n_rows_; ++r) {
    for (std::int32_t o = 0; o < w.n_out(); ++o)
      cast(hidden).row(r)[o] += dot_row(cast(w), o, cast(x).row(r));
  }
}

void ReferenceBackend::project_gated(const Buffer& x, const Matrix& gate_up, Activation activation,
                                     Buffer& out) {
  const std::int32_t n = gate_up.n_out() / 2;
  for (std::int32_t r = 0; r < n_rows_; ++r) {
    for (std::int32_t o = 0; o < n; ++o) {
      const double gate = dot_row(cast(gate_up), o, cast(x).row(r));
      const double up = dot_row(cast(gate_up), n + o, cast(x).row(r));
      cast(out).row(r)[o] = gated(activation, gate, up);
    }
  }
}

void ReferenceBackend::project_activated(const Buffer& x, const Matrix& up, Activation activation,
                                         const Xielu& xielu, Buffer& out) {
  for (std::int32_t r = 0; r < n_rows_; ++r) {
    for (std::int32_t o = 0; o < up.n_out(); ++o) {
      const double sum = dot_row(cast(up), o, cast(x).row(r));
      cast(out).row(r)[o] =
          activation == Activation::xielu ? activated(xielu, sum) : activated(activation, sum);
    }
  }
}

double ReferenceBackend::capped_logit(const Matrix& head, std::int32_t id, const double* x) const {
  const double logit = dot_row(cast(head), id, x);
  const auto cap = static_cast<double>(options_.shape.logit_cap);
  return cap > 0 ? cap * std::tanh(logit / cap) : logit;
}

void ReferenceBackend::target_nll(const Buffer& x, const Matrix& head,
                                  std::span<const std::int32_t> targets, std::span<float> nll) {
  std::vector<double> logits(static_cast<std::size_t>(head.n_out()));
  for (std::size_t r = 0; r < targets.size(); ++r) {
    nll[r] = 0.0f;
    if (targets[r] < 0) continue;
    for (std::int32_t o = 0; o < head.n_out(); ++o) {
      logits[static_cast<std::size_t>(o)] =
          capped_logit(head, o, cast(x).row(static_cast<std::int64_t>(r)));
    }
    const double highest = *std::max_element(logits.begin(), logits.end());
    double sum = 0.0;
    for (double l : logits) sum += std::exp(l - highest);
    nll[r] =
        static_cast<float>(highest + std::log(sum) - logits[static_cast<std::size_t>(targets[r])]);
  }
}

void ReferenceBackend::read_logits(const Buffer& x, const Matrix& head,
                                   std::span<const std::int32_t> rows, std::span<float> logits) {
  std::size_t at = 0;
  for (const std::int32_t row : rows) {
    for (std::int32_t o = 0; o < head.n_out(); ++o)
      logits[at++] = static_cast<float>(capped_logit(head, o, cast(x).row(row)));
  }
}

std::vector<std::int32_t> ReferenceBackend::read_positions(const StreamState& state,
                                                           std::int32_t layer,
                                                           std::int32_t group) const {
  const auto& heads =
      static_cast<const ReferenceState&>(state).layers.at(static_cast<std::size_t>(layer));
  std::vector<std::int32_t> positions;
  for (const TokenMemory& token : heads.at(static_cast<std::size_t>(group)).tokens) {
    positions.push_back(static_cast<std::int32_t>(token.position));
  }
  return positions;
}

std::vector<std::vector<std::int32_t>> ReferenceBackend::read_all_positions(
    const StreamState& state) const {
  return read_each_position(*this, state, options_.shape.n_layers,
                            n_eviction_groups(options_.cache, options_.shape));
}

}  // namespace tovamill::reference
