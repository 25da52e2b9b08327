// Attention over a bounded multi-state as Algorithm 1 of Oren et al. 2024 has it, one token at a
// time in float64: the newest token is appended to the state, attends to all of it, and if the
// state holds more than k tokens one leaves (one after another, where StepBlock::keeps_all let it
// grow).

#include <algorithm>
#include <cmath>

#include "kernels/reference/backend.h"
#include "kernels/types/merge_rule.h"

namespace tovamill::reference {

// One token's projections, rotated where the formula says so.
struct ReferenceBackend::Query {
  const LayerShape& shape;
  std::int32_t layer;               // of the whole model
  std::int64_t step;                // the token's position
  const double* q;                  // (n_heads, head_dim), not yet rotated
  const double* k;                  // (n_kv_heads, head_dim), not rotated
  const double* v;                  // (n_kv_heads, head_dim)
  double* out;                      // (n_heads, head_dim)
  std::span<const float> q_factor;  // AttentionWeights::q_factor
  std::span<const float> sinks;     // (n_heads), or none
  LayerHeads heads;
};

void rotate(double* head, std::int32_t head_dim, double position,
            const std::vector<double>& inv_freq) {
  const std::int32_t half = head_dim / 2;
  for (std::int32_t i = 0; i < half; ++i) {
    const double angle = position * inv_freq[static_cast<std::size_t>(i)];
    const double c = std::cos(angle), s = std::sin(angle);
    const double a = head[i], b = head[i + half];
    head[i] = a * c - b * s;
    head[i + half] = b * c + a * s;
  }
}

// Whether the query at `step` sees the token at `position`.
bool is_visible(const LayerShape& layer, std::int64_t step, std::int64_t position) {
  return layer.sliding_window <= 0 || position > step - layer.sliding_window;
}

// Of absolute and clipped positions.
double ReferenceBackend::clipped_position(double position, std::int64_t step) const {
  const std::int64_t segment_start = step / kRopeSegmentTokens * kRopeSegmentTokens;
  const std::int64_t reach = segment_start - clip_distance(options_.cache, options_.shape);
  if (options_.cache.positions == Positions::absolute) return position;
  return std::max(position, static_cast<double>(reach));
}

// kernels/README.md, "Positions". `token` indexes the head's tokens, which are in order of age.
double ReferenceBackend::rotary_position(const HeadState& head, std::size_t token,
                                         std::int64_t step) const {
  const std::int64_t position = head.tokens[token].position;
  const std::int64_t segment_start = step / kRopeSegmentTokens * kRopeSegmentTokens;
  if (options_.cache.positions != Positions::in_state)
    return clipped_position(static_cast<double>(position), step);
  if (position >= segment_start)
    return static_cast<double>(head.n_before_segment + position - segment_start);
  // The rank that the token had when the segment began: tokens leave within it, numbers stay.
  return static_cast<double>(head.tokens[token].rank);
}

// Rotates a head of a layer, if the layer rotates any.
void ReferenceBackend::rotate_head(const LayerShape& layer, double* head, double position) const {
  if (layer.rope == kNoRope) return;
  const std::vector<double>& table = options_.shape.ropes.at(static_cast<std::size_t>(layer.rope));
  rotate(head, static_cast<std::int32_t>(2 * table.size()), position, table);
}

double ReferenceBackend::score_scale(const Query& query) const {
  return query.shape.attention_scale != 0
             ? query.shape.attention_scale
             : 1.0 / std::sqrt(static_cast<double>(query.heads.head_dim));
}

// Mean over KV heads of the L2 norms of a token's values.
double ReferenceBackend::value_norm(const Query& query) const {
  const std::int32_t d = query.heads.head_dim, n_kv = query.heads.n_kv_heads;
  double norm = 0.0;
  for (std::int32_t kv = 0; kv < n_kv; ++kv) {
    double sum = 0.0;
    for (std::int32_t i = 0; i < d; ++i) sum += query.v[kv * d + i] * query.v[kv * d + i];
    norm += std::sqrt(sum) / n_kv;
  }
  return norm;
}

// The token becomes the newest of a KV head's state; at a RoPE segment's begin those before it get
// their ranks.
void ReferenceBackend::append_token(HeadState& head, const Query& query, std::int32_t kv) const {
  const std::int32_t d = query.heads.head_dim;
  if (query.step % kRopeSegmentTokens == 0) {
    for (std::size_t j = 0; j < head.tokens.size(); ++j)
      head.tokens[j].rank = static_cast<std::int64_t>(j);
    head.n_before_segment = static_cast<std::int64_t>(head.tokens.size());
  }
  head.tokens.push_back({.position = query.step, .value_norm = value_norm(query)});
  head.keys.emplace_back(query.k + kv * d, query.k + (kv + 1) * d);
  head.values.emplace_back(query.v + kv * d, query.v + (kv + 1) * d);
}

// The keys of merged tokens for the query's RoPE segment.
void ReferenceBackend::rotate_merged(HeadState& head, const Query& query) const {
  for (MergedToken& m : head.merging.places) {
    const double wanted = clipped_position(m.position, query.step);
    if (!m.is_used || wanted == m.rotary) continue;
    rotate_head(query.shape, m.key.data(), wanted - m.rotary);
    m.rotary = wanted;
  }
}

// The attention of query head `h` to the tokens of its KV head, whose rotated keys are `keys`, and
// to merged ones: the weights of the tokens, and the weighted sum of all values into query.out.
std::vector<double> ReferenceBackend::attend_head(HeadState& head,
                                                  const std::vector<std::vector<double>>& keys,
                                                  const Query& query, std::int32_t h) const {
  const std::int32_t d = query.heads.head_dim;
  const std::size_t n = head.tokens.size();
  const double scale = score_scale(query);
  std::vector<double> q(query.q + h * d, query.q + (h + 1) * d), w;
  rotate_head(query.shape, q.data(), rotary_position(head, n - 1, query.step));
  for (double& x : q) x *= query_factor(query.shape, query.step);
  for (std::size_t i = 0; i < query.q_factor.size(); ++i)
    q[i] *= static_cast<double>(query.q_factor[i]);
  const auto score_of = [&](const std::vector<double>& key) {
    double score = 0.0;
    for (std::size_t i = 0; i < key.size(); ++i) score += q[i] * key[i];
    score *= scale;
    const double cap = query.shape.score_cap;
    return cap > 0 ? cap * std::tanh(score / cap) : score;
  };
  std::vector<const std::vector<double>*> values;
  for (std::size_t j = 0; j < n; ++j) {
    const bool visible = is_visible(query.shape, query.step, head.tokens[j].position);
    w.push_back(visible ? score_of(keys[j]) : -INFINITY);
    values.push_back(&head.values[j]);
  }
  for (const MergedToken& m : head.merging.places) {
    if (!m.is_used) continue;
    w.push_back(score_of(m.key) + m.bias + kMergeBoost);
    values.push_back(&m.value);
  }
  double highest = *std::max_element(w.begin(), w.end()), sum = 0.0;
  if (!query.sinks.empty()) {
    const auto sink = static_cast<double>(query.sinks[static_cast<std::size_t>(h)]);
    highest = std::max(highest, sink);
    sum = std::exp(sink - highest);
  }
  for (double& x : w) sum += x = std::exp(x - highest);
  for (double& x : w) x /= sum;
  for (std::int32_t i = 0; i < d; ++i) {
    double value = 0.0;
    for (std::size_t j = 0; j < w.size(); ++j)
      value += w[j] * (*values[j])[static_cast<std::size_t>(i)];
    query.out[h * d + i] = value;
  }
  if (!head.merging.places.empty())
    add_query(
        q.data(), d,
        head.merging.queries[static_cast<std::size_t>(h % query.heads.queries_per_kv_head())]);
  w.resize(n);
  return w;
}

// The token leaves; where the layer merges, it is kept until the next merge.
void ReferenceBackend::drop_token(HeadState& head, const Query& query, std::size_t at) const {
  if (!head.merging.places.empty()) {
    std::vector<double> key = head.keys[at];
    rotate_head(query.shape, key.data(), rotary_position(head, at, query.step));
    head.merging.left.push_back({.position = static_cast<double>(head.tokens[at].position),
                                 .key = std::move(key),
                                 .value = head.values[at]});
  }
  const auto index = static_cast<std::ptrdiff_t>(at);
  head.tokens.erase(head.tokens.begin() + index);
  head.keys.erase(head.keys.begin() + index);
  head.values.erase(head.values.begin() + index);
}

// Behind the last query of a merge interval.
void ReferenceBackend::merge_where_due(HeadState& head, const Query& query) const {
  if (head.merging.places.empty()) return;
  ++head.merging.n_queries;
  if ((query.step + 1) % kMergeInterval != 0) return;
  std::vector<std::vector<double>> live = head.keys;
  for (std::size_t j = 0; j < live.size(); ++j)
    rotate_head(query.shape, live[j].data(), rotary_position(head, j, query.step));
  merge(head.merging, live, score_scale(query));
  for (MergedToken& m : head.merging.places) m.rotary = clipped_position(m.position, query.step);
}

void ReferenceBackend::attend_token(std::vector<HeadState>& heads, const Query& query,
                                    const StepBlock& block, BlockEvents& events) {
  const ModelShape& shape = options_.shape;
  const std::int32_t per_kv = query.heads.queries_per_kv_head();
  std::vector<std::vector<double>> head_weights;  // (n_heads, tokens)
  for (std::int32_t kv = 0; kv < query.heads.n_kv_heads; ++kv) {
    HeadState& head = heads[static_cast<std::size_t>(kv)];
    append_token(head, query, kv);
    rotate_merged(head, query);
    std::vector<std::vector<double>> keys = head.keys;
    for (std::size_t j = 0; j < keys.size(); ++j)
      rotate_head(query.shape, keys[j].data(), rotary_position(head, j, query.step));
    for (std::int32_t h = kv * per_kv; h < (kv + 1) * per_kv; ++h)
      head_weights.push_back(attend_head(head, keys, query, h));
  }
  const std::int32_t groups = n_eviction_groups(options_.cache, shape);
  for (std::int32_t g = 0; g < groups; ++g) {
    const std::size_t n_heads = head_weights.size() / static_cast<std::size_t>(groups),
                      n_kv = heads.size() / static_cast<std::size_t>(groups),
                      group = static_cast<std::size_t>(g);
    decide(std::span(heads).subspan(group * n_kv, n_kv), query, g,
           std::span(head_weights).subspan(group * n_heads, n_heads), block, events);
  }
  for (HeadState& head : heads) merge_where_due(head, query);
}

// Lets an eviction group (the layer, or a KV head) drop tokens while it holds more than k. `heads`:
// its KV heads, which hold the same tokens.
void ReferenceBackend::decide(std::span<HeadState> heads, const Query& query, std::int32_t group,
                              std::span<const std::vector<double>> head_weights,
                              const StepBlock& block, BlockEvents& events) {
  CacheOptions cache = block_options(options_.cache, block.pin);
  std::vector<TokenMemory>& tokens = heads.front().tokens;
  std::vector<double> weights(tokens.size(), 0.0);
  for (const std::vector<double>& w : head_weights) {
    for (std::size_t j = 0; j < weights.size(); ++j)
      weights[j] += w[j] / static_cast<double>(head_weights.size());
  }
  for (const TokenMemory& token : tokens)
    events.n_attended += is_visible(query.shape, query.step, token.position);
  if (block.keeps_all) return;
  for (HeadState& head : heads) remember(cache, weights, head.tokens);
  const LayerPlaces places =
      places_of(cache, options_.shape, query.layer - options_.shape.first_layer);
  if (places.is_window) {
    cache.policy = Policy::window;
    cache.sinks = 0;
  }
  const std::int64_t most = places.size - places.merged;
  while (is_bounded(cache) && static_cast<std::int64_t>(tokens.size()) > most) {
    const std::int64_t out =
        choose_evicted(cache, query.step, weights, tokens,
                       {.layer = query.layer, .group = group, .random_key = block.random_key});
    if (out < 0) break;
    const auto at = static_cast<std::size_t>(out);
    events.evictions.push_back({.position = static_cast<std::int32_t>(tokens[at].position),
                                .step = static_cast<std::int32_t>(query.step),
                                .group = group,
                                .weight = static_cast<float>(weights[at])});
    weights.erase(weights.begin() + out);
    for (HeadState& head : heads) drop_token(head, query, at);
  }
}

// Of a row's queries or keys: as many of `n` at once as there are weights.
void ReferenceBackend::normalize_heads(double* x, std::int32_t n,
                                       std::span<const float> weights) const {
  const auto each = static_cast<std::int32_t>(weights.size());
  for (std::int32_t first = 0; first < n; first += each)
    normalize(x + first, each, weights.data(), static_cast<double>(options_.shape.qk_norm_eps));
}

void ReferenceBackend::attend(std::int32_t layer, const AttentionWeights& weights, Buffer& qkv,
                              Buffer& out, std::span<BlockEvents> events) {
  const ModelShape& shape = options_.shape;
  const LayerHeads heads_of_layer = shape.heads(layer);
  const std::int32_t q_size = heads_of_layer.q_size(), kv_size = heads_of_layer.kv_size();
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const StepBlock& block = blocks_[b];
    auto& state = *static_cast<ReferenceState*>(block.state);
    auto& heads = state.layers[static_cast<std::size_t>(layer)];
    state.n_tokens = block.position + block.n_tokens;
    if (is_bounded(options_.cache)) state.pin = block.pin;
    events[b].evictions.clear();
    events[b].n_attended = 0;
    for (std::int32_t i = 0; i < block.n_tokens; ++i) {
      double* row = static_cast<ReferenceBuffer&>(qkv).row(block.first_row + i);
      double* k = row + q_size;
      if (!weights.q_norm.empty()) {
        normalize_heads(row, q_size, weights.q_norm);
        normalize_heads(k, kv_size, weights.k_norm);
      }
      if (!weights.v_norm.empty()) normalize_heads(k + kv_size, kv_size, weights.v_norm);
      attend_token(heads,
                   {.shape = shape.layer(layer),
                    .layer = shape.first_layer + layer,
                    .step = block.position + i,
                    .q = row,
                    .k = k,
                    .v = k + kv_size,
                    .out = static_cast<ReferenceBuffer&>(out).row(block.first_row + i),
                    .q_factor = weights.q_factor,
                    .sinks = weights.sinks,
                    .heads = heads_of_layer},
                   block, events[b]);
    }
  }
}

}  // namespace tovamill::reference
