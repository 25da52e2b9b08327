#include "workers/documents/stream_analysis.h"

#include <algorithm>
#include <utility>

namespace tovamill {

std::shared_ptr<const TokenClassifier> classifier_of(const RunOptions& options,
                                                     const Tokenizer& tokenizer) {
  if (!options.analyze) return nullptr;
  std::shared_ptr<const Lexicon> lexicon;
  if (!options.lexicon.empty())
    lexicon = std::make_shared<Lexicon>(read_lexicon_file(options.lexicon),
                                        "--lexicon " + options.lexicon);
  return std::make_shared<TokenClassifier>(tokenizer, std::move(lexicon));
}

AnalysisSetting analysis_setting(const RunOptions& options) {
  return {.has_positions = options.nll_by_position,
          .bins = {static_cast<std::uint64_t>(options.position_bin)},
          .has_classes = options.analyze,
          .state_tokens = is_bounded(options.cache) ? options.cache.cache_size : 0};
}

void StreamAnalysis::begin(const TokenClassifier* classifier, TokenLabels labels,
                           std::size_t n_layers, DocumentAnalysis& sums) {
  sums = {};
  setting_.has_classes = classifier != nullptr;
  sums.has_positions = setting_.has_positions;
  if (setting_.has_positions) sums.bins = setting_.bins;
  if (!classifier) return;
  labels_ = std::move(labels);
  sums.states.resize(n_layers);
  for (const char* name : kTokenClassNames)
    sums.classes.push_back({.name = name, .is_tag = false, .n_tokens = 0, .layers = {}});
  for (const std::string& name : classifier->tags())
    sums.classes.push_back({.name = name, .is_tag = true, .n_tokens = 0, .layers = {}});
  for (ClassRecord& c : sums.classes) c.layers.resize(n_layers);
  for (const std::uint8_t label : labels_.classes) ++sums.classes[label].n_tokens;
  for (const std::uint8_t label : labels_.tags)
    ++sums.classes[kTokenClassNames.size() + label].n_tokens;
}

void StreamAnalysis::scored(std::uint64_t position, double nll, DocumentAnalysis& sums) const {
  if (!setting_.has_positions) return;
  const std::size_t bin = setting_.bins.index(position);
  if (bin >= sums.positions.size()) sums.positions.resize(bin + 1);
  ++sums.positions[bin].n;
  sums.positions[bin].nll += nll;
}

// Of the steps after which the token was in the state, at most the first `most`, those from
// `state_tokens` on: after step k - 1 a state holds k tokens.
std::uint64_t StreamAnalysis::full_steps(const Stay& stay, std::uint64_t most) const {
  const std::uint64_t end = stay.position + std::min(stay.steps, most),
                      begin = std::max(stay.position,
                                       static_cast<std::uint64_t>(setting_.state_tokens));
  return end > begin ? end - begin : 0;
}

void StreamAnalysis::count(const Stay& stay, StateCounters& state) const {
  if (setting_.state_tokens == 0) return;
  state.full_steps += full_steps(stay, stay.steps);
  state.recent_full_steps +=
      full_steps(stay, static_cast<std::uint64_t>(setting_.state_tokens / 2));
}

template <class Count>
void StreamAnalysis::each_class(std::size_t layer, std::size_t token, DocumentAnalysis& sums,
                                const Count& count) const {
  count(sums.classes[labels_.classes[token]].layers[layer]);
  if (!labels_.tags.empty())
    count(sums.classes[kTokenClassNames.size() + labels_.tags[token]].layers[layer]);
}

void StreamAnalysis::evicted(std::size_t layer, std::size_t token, const Eviction& e,
                             DocumentAnalysis& sums) const {
  if (!setting_.has_classes) return;
  const Stay stay{static_cast<std::uint64_t>(e.position),
                  static_cast<std::uint64_t>(e.step - e.position)};
  StateCounters& state = sums.states[layer];
  count(stay, state);
  if (e.position == 0) ++state.n_first, ++state.n_first_evictions, state.first_steps += stay.steps;
  each_class(layer, token, sums, [&](ClassCounters& c) {
    ++c.n_evictions;
    c.evicted_steps += stay.steps;
    if (setting_.state_tokens > 0) c.full_steps += full_steps(stay, stay.steps);
  });
}

void StreamAnalysis::survived(std::size_t layer, std::size_t token, std::uint64_t position,
                              std::uint64_t n, DocumentAnalysis& sums) const {
  if (!setting_.has_classes) return;
  const Stay stay{position, n - position};
  StateCounters& state = sums.states[layer];
  count(stay, state);
  if (position == 0) ++state.n_first, state.first_steps += n - 1;
  each_class(layer, token, sums, [&](ClassCounters& c) {
    ++c.n_survivors;
    c.survivor_steps += n - 1 - position;
    if (setting_.state_tokens > 0) c.full_steps += full_steps(stay, stay.steps);
  });
}

void StreamAnalysis::finish(DocumentAnalysis& sums) {
  std::erase_if(sums.classes, [](const ClassRecord& c) { return c.n_tokens == 0; });
}

bool StreamAnalysis::fits(const DocumentAnalysis& saved, const DocumentAnalysis& sums) {
  if (saved.has_positions != sums.has_positions || saved.bins.width != sums.bins.width ||
      saved.states.size() != sums.states.size() || saved.classes.size() != sums.classes.size() ||
      (!saved.has_positions && !saved.positions.empty()))
    return false;
  for (std::size_t i = 0; i < saved.classes.size(); ++i) {
    const ClassRecord &a = saved.classes[i], &b = sums.classes[i];
    if (a.name != b.name || a.is_tag != b.is_tag || a.n_tokens != b.n_tokens ||
        a.layers.size() != b.layers.size())
      return false;
  }
  return true;
}

}  // namespace tovamill
