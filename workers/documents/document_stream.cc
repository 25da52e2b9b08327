#include "workers/documents/document_stream.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "kernels/types/format.h"

namespace tovamill {
namespace {

// Cuts the text's ids into chunks, each with what the tokenizer puts before a text. The same of
// their labels, given those of what is put there.
template <class T>
std::vector<T> surrounded(std::vector<T> ids, const std::vector<T>& leading,
                          const std::vector<T>& trailing, const StreamSetting& s) {
  ids.insert(ids.end(), trailing.begin(), trailing.end());
  if (leading.empty()) return ids;
  std::vector<T> tokens;
  tokens.reserve(ids.size() + leading.size());
  for (std::size_t i = 0; i < ids.size() || i == 0; ++i) {
    const bool starts_chunk =
        s.chunk_tokens > 0 ? tokens.size() % static_cast<std::size_t>(s.chunk_tokens) == 0 : i == 0;
    if (starts_chunk) tokens.insert(tokens.end(), leading.begin(), leading.end());
    if (i < ids.size()) tokens.push_back(ids[i]);
  }
  return tokens;
}

}  // namespace

DocumentStream::DocumentStream(const StreamSetting& setting, StateKeeper& states,
                               CorpusRecord record, std::shared_future<TextTokens> text,
                               std::unique_ptr<StreamState> state)
    : setting_(setting),
      states_(states),
      record_(std::move(record)),
      state_(std::move(state)),
      text_(std::move(text)),
      analysis_(setting.analysis) {
  states_.reset(*state_);
  is_ready(false);
}

bool DocumentStream::is_ready(bool waits) {
  if (is_read_) return true;
  if (!waits && text_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return false;
  read(text_.get());
  text_ = {};
  return true;
}

void DocumentStream::read(const TextTokens& text) {
  is_read_ = true;
  tokens_ = surrounded(text.ids, setting_.leading, setting_.trailing, setting_);
  for (const TokenId id : tokens_) {
    if (id >= setting_.vocab_size)
      rejection_ = "its text has the token " + std::to_string(id) + ", but the model only has " +
                   counted(setting_.vocab_size, "token");
  }
  if (tokens_.empty()) rejection_ = "its text has no token";
  if (!text.rejection.empty()) rejection_ = text.rejection;
  if (!rejection_.empty()) next_ = planned_ = tokens_.size();
  result_ = record_of(record_);
  result_.n_words = text.n_words;
  result_.n_bytes = text.n_bytes;  // the record is without its text by now
  result_.n_tokens = tokens_.size();
  result_.positions = setting_.positions;
  result_.clip_distance = setting_.clip_distance;
  result_.n_eviction_groups = static_cast<std::uint32_t>(setting_.n_eviction_groups);
  const auto layers = static_cast<std::size_t>(setting_.n_layers);
  result_.layers.resize(layers);
  lifetime_.assign(tokens_.size(), 0);
  first_eviction_.assign(layers * static_cast<std::size_t>(setting_.n_eviction_groups), -1);
  if (setting_.keep_tokens || setting_.keep_eviction_steps) {
    result_.token_ids = tokens_;
    result_.token_nll.assign(tokens_.size(), std::numeric_limits<float>::quiet_NaN());
  }
  if (setting_.keep_eviction_steps) {
    result_.eviction_step.assign(layers * tokens_.size(), -1);
    n_dropped_.assign(layers * tokens_.size(), 0);
  }
  if (analysis_.is_on()) begin_analysis(text);
}

// What stands around the text is special, and of no word.
void DocumentStream::begin_analysis(const TextTokens& text) {
  using Labels = std::vector<std::uint8_t>;
  const Labels leading(setting_.leading.size()), trailing(setting_.trailing.size());
  const auto around = [&](const Labels& labels) {
    return surrounded(labels, leading, trailing, setting_);
  };
  TokenLabels labels;
  if (text.classifier) labels.classes = around(text.labels.classes);
  if (text.classifier && !text.classifier->tags().empty()) labels.tags = around(text.labels.tags);
  analysis_.begin(text.classifier.get(), std::move(labels), result_.layers.size(),
                  result_.analysis);
}

std::size_t DocumentStream::chunk_end(std::size_t begin) const {
  if (setting_.chunk_tokens <= 0) return tokens_.size();
  return std::min(tokens_.size(), begin + static_cast<std::size_t>(setting_.chunk_tokens));
}

std::int32_t DocumentStream::n_next() const {
  return static_cast<std::int32_t>(
      std::min(static_cast<std::size_t>(setting_.block), chunk_end(chunk_begin_) - planned_));
}

StepBlock DocumentStream::next_block(std::int32_t first_row, std::vector<std::int32_t>& ids,
                                     std::vector<std::int32_t>& targets) {
  const std::size_t end = chunk_end(chunk_begin_);
  const auto n = static_cast<std::size_t>(n_next());
  const StepBlock block{.state = state_.get(),
                        .first_row = first_row,
                        .n_tokens = static_cast<std::int32_t>(n),
                        .position = static_cast<std::int64_t>(planned_ - chunk_begin_),
                        .random_key = random_key(setting_.seed, result_, chunk_begin_),
                        .asks_positions = planned_ + n == end};
  for (std::size_t i = planned_; i < planned_ + n; ++i) {
    ids.push_back(tokens_[i]);
    targets.push_back(i + 1 < end ? tokens_[i + 1] : -1);
  }
  planned_ += n;
  return block;
}

void DocumentStream::advance(const StepOutput& output, const StepBlock& block, std::size_t index) {
  const auto n = static_cast<std::size_t>(block.n_tokens);
  const std::size_t end = chunk_end(chunk_begin_);
  for (std::size_t i = 0; i < n && next_ + i + 1 < end; ++i) {
    const float nll = output.nll[static_cast<std::size_t>(block.first_row) + i];
    const std::size_t token = next_ + i + 1;
    if (!std::isfinite(nll) && !not_finite_) not_finite_ = token;
    result_.n_scored += 1;
    result_.nll_sum += static_cast<double>(nll);
    result_.nll_sum_sq += static_cast<double>(nll) * static_cast<double>(nll);
    if (!result_.token_nll.empty()) result_.token_nll[token] = nll;
    analysis_.scored(token - chunk_begin_, static_cast<double>(nll), result_.analysis);
  }
  for (std::size_t l = 0; l < result_.layers.size(); ++l) {
    result_.layers[l].n_attended += output.at(l, index).n_attended;
    count_evictions(l, output.at(l, index).evictions);
  }
  next_ += n;
  if (next_ < end) return;
  end_chunk(chunk_begin_, end);
  chunk_begin_ = end;
  if (!finished()) states_.reset(*state_);
}

void DocumentStream::count_evictions(std::size_t layer, std::span<const Eviction> evictions) {
  LayerCounters& counters = result_.layers[layer];
  for (const Eviction& e : evictions) {
    const auto lived = static_cast<std::uint64_t>(e.step - e.position);
    counters.n_evictions += 1;
    counters.lifetime[static_cast<std::size_t>(log_bin(lived))] += 1;
    counters.evicted_weight += static_cast<double>(e.weight);
    const std::size_t token = chunk_begin_ + static_cast<std::size_t>(e.position);
    lifetime_[token] += lived;
    analysis_.evicted(layer, token, e, result_.analysis);
    if (e.position == 0) {
      first_eviction_[layer * static_cast<std::size_t>(setting_.n_eviction_groups) +
                      static_cast<std::size_t>(e.group)] = e.step;
    }
    if (setting_.keep_eviction_steps)
      trace(layer, token, static_cast<std::int32_t>(chunk_begin_) + e.step);
  }
}

// A token is gone from a layer when the last KV head has dropped it; heads come one after another
// within a block, not in the order of steps. What some head still holds is set to -1 at the end.
void DocumentStream::trace(std::size_t layer, std::size_t token, std::int32_t step) {
  const std::size_t at = layer * tokens_.size() + token;
  n_dropped_[at] = static_cast<std::uint16_t>(n_dropped_[at] + 1);
  result_.eviction_step[at] = std::max(result_.eviction_step[at], step);
}

// What the state holds when the document or chunk ends.
void DocumentStream::end_chunk(std::size_t begin, std::size_t end) {
  const std::size_t n = end - begin;
  const auto groups = static_cast<std::size_t>(setting_.n_eviction_groups);
  const std::vector<std::vector<std::int32_t>> all = states_.read_all_positions(*state_);
  for (std::size_t l = 0; l < result_.layers.size(); ++l) {
    LayerCounters& counters = result_.layers[l];
    for (std::size_t g = 0; g < groups; ++g) {
      const std::vector<std::int32_t>& held = all[l * groups + g];
      counters.n_survivors += held.size();
      for (const std::int32_t position : held) {
        const std::uint64_t age = n - 1 - static_cast<std::uint64_t>(position);
        counters.survivor_age[static_cast<std::size_t>(log_bin(age))] += 1;
        counters.n_recent += age < held.size();
        const std::size_t token = begin + static_cast<std::size_t>(position);
        lifetime_[token] += age;
        analysis_.survived(l, token, static_cast<std::uint64_t>(position), n, result_.analysis);
      }
      std::int32_t& eviction_step = first_eviction_[l * groups + g];
      for (std::size_t b = 0; b < kLogBins && (std::uint64_t{1} << b) < n; ++b) {
        counters.first_token_reached[b] += 1;
        counters.first_token_kept[b] +=
            eviction_step < 0 ||
            static_cast<std::uint64_t>(eviction_step) >= (std::uint64_t{1} << b);
      }
      eviction_step = -1;
    }
  }
}

// A document whose sums would make every corpus number NaN, or that has none.
DocumentRecord DocumentStream::failed(const std::string& reason, const std::string& text,
                                      int rank) const {
  DocumentRecord record = identity_of(result_);
  record.status = DocumentRecord::Status::failed;
  record.failure_reason = reason;
  record.failure_text = text;
  record.rank = rank;
  return record;
}

void DocumentStream::end_with(DocumentRecord record) {
  record.id = result_.id;
  record.line = result_.line;
  record.span_begin = result_.span_begin;
  record.span_end = result_.span_end;
  record.n_lines = result_.n_lines;
  result_ = std::move(record);
  next_ = planned_ = chunk_begin_ = tokens_.size();
  has_ended_ = true;
}

DocumentRecord DocumentStream::finish(int rank) {
  if (has_ended_) {
    result_.rank = rank;
    return std::move(result_);
  }
  if (!rejection_.empty()) return failed("bad-tokens", rejection_, rank);
  if (not_finite_) {
    return failed("not-finite",
                  "the model gives no finite likelihood for token " + std::to_string(*not_finite_) +
                      " of the document: are its weights damaged, or too large for this dtype?",
                  rank);
  }
  for (std::size_t i = 0; i < n_dropped_.size(); ++i) {
    if (n_dropped_[i] < setting_.n_eviction_groups) result_.eviction_step[i] = -1;
  }
  std::unordered_map<TokenId, TokenLifetime> by_id;
  const std::uint64_t entries = static_cast<std::uint64_t>(setting_.n_layers) *
                                static_cast<std::uint64_t>(setting_.n_eviction_groups);
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    TokenLifetime& t = by_id[tokens_[i]];
    t.id = tokens_[i];
    t.count += entries;
    t.lifetime += lifetime_[i];
  }
  for (const auto& [id, t] : by_id) result_.token_lifetimes.push_back(t);
  std::sort(result_.token_lifetimes.begin(), result_.token_lifetimes.end(),
            [](const TokenLifetime& a, const TokenLifetime& b) { return a.id < b.id; });
  StreamAnalysis::finish(result_.analysis);
  result_.rank = rank;
  if (result_.n_scored == 0) result_.status = DocumentRecord::Status::unscored;
  return std::move(result_);
}

}  // namespace tovamill
