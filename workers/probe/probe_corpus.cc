#include "workers/probe/probe_corpus.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "engine/text/utf8.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "workers/probe/filler.h"

namespace tovamill {
namespace {

constexpr double kTokensPerWord = 1.4;       // of a first guess
constexpr std::uint64_t kTolerance = 1'000;  // the length divided by it, in tokens
constexpr std::uint64_t kMostHaystackBytes = 1u << 30;
constexpr std::string_view kBlanks = " \t\r\n\f\v";

std::size_t n_words_of(std::string_view text) {
  std::size_t n = 0;
  bool is_in_word = false;
  for (const char c : text) {
    const bool is_blank = kBlanks.find(c) != std::string_view::npos;
    n += !is_blank && !is_in_word;
    is_in_word = !is_blank;
  }
  return n;
}

std::string_view without_end(std::string_view text, std::string_view characters) {
  const std::size_t last = text.find_last_not_of(characters);
  return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
}

// The front of a sentence, with a stop.
std::string first_words(std::string_view sentence, std::size_t n) {
  std::size_t end = 0;
  for (std::size_t w = 0; w < n; ++w) {
    end = std::min(sentence.find_first_not_of(kBlanks, end), sentence.size());
    end = std::min(sentence.find_first_of(kBlanks, end), sentence.size());
  }
  std::string text(without_end(sentence.substr(0, end), ",;:-"));
  if (!text.empty() && text.find_last_of(".!?") != text.size() - 1) text += ".";
  return text + " ";
}

// The hidden sentences between the first `n_words` words of a filler.
class HaystackText {
 public:
  HaystackText(const ProbeQuestion& question, Filler& filler)
      : question_(question), filler_(filler) {}

  std::string compose(std::size_t n_words) {
    std::vector<std::string> pieces;
    for (std::size_t i = 0; n_words > 0; ++i) {
      while (i >= sentences_.size()) {
        sentences_.push_back(filler_.next());
        n_words_.push_back(n_words_of(sentences_.back()));
      }
      const bool is_whole = n_words_[i] <= n_words;
      pieces.push_back(is_whole ? sentences_[i] : first_words(sentences_[i], n_words));
      n_words -= is_whole ? n_words_[i] : n_words;
    }
    return join(pieces);
  }

 private:
  std::string join(const std::vector<std::string>& pieces) const {
    const auto n = static_cast<double>(pieces.size());
    std::string text;
    for (std::size_t i = 0; i <= pieces.size(); ++i) {
      for (const HiddenSentence& hidden : question_.hidden) {
        if (static_cast<std::size_t>(hidden.depth * n + 0.5) == i) text += hidden.text + " ";
      }
      if (i < pieces.size()) text += pieces[i];
    }
    return std::string(without_end(text, kBlanks));
  }

  const ProbeQuestion& question_;
  Filler& filler_;
  std::vector<std::string> sentences_;
  std::vector<std::size_t> n_words_;  // of each
};

}  // namespace

std::string probe_corpus_path(const std::string& run_directory) {
  return run_directory + (run_directory.ends_with('/') ? "" : "/") + kProbeCorpusName;
}

ProbeCorpus::ProbeCorpus(const Tokenizer& tokenizer, const RunOptions& options)
    : tokenizer_(tokenizer),
      options_(options),
      sentences_(sentences_of(options.probe.haystack_text)) {
  validate_probe(options.probe);
  const std::vector<double> depths = depths_of(options.probe);
  for (const ProbeTask task : tasks_of(options.probe)) {
    std::vector<std::optional<double>> places(depths.begin(), depths.end());
    if (!has_depth(task)) places = {std::nullopt};
    for (const std::uint64_t length : lengths_of(options.probe)) {
      for (const std::optional<double> depth : places) {
        for (std::int32_t s = 0; s < options.probe.n; ++s)
          keys_.push_back({.task = task,
                           .length = length,
                           .depth = depth,
                           .sample = static_cast<std::uint32_t>(s)});
      }
    }
  }
}

std::uint64_t ProbeCorpus::n_tokens(std::string_view text) const {
  std::vector<TokenId> ids;
  tokenizer_.encode(text, false, ids);
  return ids.size();
}

// The text of as many words as fit the length; a step narrows the words between those that fit and
// those that do not.
template <class Compose>
std::string ProbeCorpus::longest(const ProbeKey& key, std::size_t n_least, Compose&& compose,
                                 std::uint64_t& n) const {
  struct Fit {
    std::size_t words = 0;
    std::uint64_t tokens = 0;
  };
  std::string best = compose(n_least);
  const Fit first{n_least, n_tokens(best)};
  if (first.tokens > key.length)
    throw Error(ExitCode::configuration, "--lengths " + std::to_string(key.length) +
                                             ": what the task " + std::string(name_of(key.task)) +
                                             " hides alone has " + counted(first.tokens, "token") +
                                             " of this model: give a greater length");
  Fit fits = first;
  std::optional<Fit> beyond;
  for (int step = 1;; ++step) {
    const double left = static_cast<double>(key.length - fits.tokens);
    if (key.length - fits.tokens <= key.length / kTolerance) break;
    double per_word = kTokensPerWord;
    if (beyond)
      per_word = static_cast<double>(beyond->tokens - fits.tokens) /
                 static_cast<double>(beyond->words - fits.words);
    else if (fits.words > first.words)
      per_word = (static_cast<double>(fits.tokens) - static_cast<double>(first.tokens)) /
                 static_cast<double>(fits.words - first.words);
    std::size_t words =
        fits.words +
        std::max<std::size_t>(1, static_cast<std::size_t>(left / std::max(per_word, 0.1)));
    if (beyond) {
      if (beyond->words - fits.words <= 1) break;
      if (step % 4 == 0) words = fits.words + (beyond->words - fits.words) / 2;
      words = std::clamp(words, fits.words + 1, beyond->words - 1);
    }
    std::string text = compose(words);
    const std::uint64_t tokens = n_tokens(text);
    if (tokens <= key.length) {
      fits = {words, tokens};
      best = std::move(text);
    } else {
      beyond = Fit{words, tokens};
    }
  }
  n = fits.tokens;
  return best;
}

ProbeDocument ProbeCorpus::document(const ProbeKey& key) const {
  ProbeRandom random{static_cast<std::uint64_t>(kProbeVersion), options_.generation.sampling.seed,
                     static_cast<std::uint64_t>(key.task), key.length, key.sample};
  ProbeDocument d{.key = key, .text = "", .question = "", .keys = {}, .where = {}};
  ProbeQuestion question;
  if (key.task == ProbeTask::words) {
    const WordLists lists(random);
    question = lists.question();
    d.text = longest(
        key, kFewestListedWords, [&](std::size_t n) { return lists.list(n); }, d.n_tokens);
  } else {
    question = make_probe_question(key.task, key.depth.value_or(0.0),
                                   {.needles = options_.probe.needles, .hops = options_.probe.hops},
                                   random);
    Filler filler(sentences_, random);
    HaystackText haystack(question, filler);
    d.text = longest(
        key, 0, [&](std::size_t n) { return haystack.compose(n); }, d.n_tokens);
    for (const HiddenSentence& hidden : question.hidden)
      d.where.push_back(d.text.find(hidden.text));
  }
  d.question = std::move(question.question);
  d.keys = std::move(question.keys);
  return d;
}

void ProbeCorpus::write(std::ostream& out) const {
  for (const ProbeKey& key : keys_) {
    const ProbeDocument d = document(key);
    nlohmann::ordered_json record{{"id", id_of(key)},          {"text", d.text},
                                  {"question", d.question},    {"reference", d.keys},
                                  {"task", name_of(key.task)}, {"length", key.length},
                                  {"depth", nullptr},          {"sample", key.sample},
                                  {"tokens", d.n_tokens}};
    if (key.depth) record["depth"] = *key.depth;
    out << record.dump() << '\n';
  }
}

bool is_probe_corpus(const std::string& path) {
  const std::string front = "{\"id\":\"" + std::string(kProbeIdFront);
  std::ifstream file(path, std::ios::binary);
  std::string begins(front.size(), '\0');
  file.read(begins.data(), static_cast<std::streamsize>(begins.size()));
  return begins.substr(0, static_cast<std::size_t>(file.gcount())) == front;
}

void read_haystack(ProbeOptions& options) {
  if (options.haystack.empty()) return;
  const std::string shown = "--haystack " + options.haystack;
  std::ifstream file(options.haystack, std::ios::binary);
  std::string text;
  constexpr std::size_t kBatchBytes = 1u << 20;
  for (std::string batch(kBatchBytes, '\0'); file;) {
    file.read(batch.data(), static_cast<std::streamsize>(batch.size()));
    text.append(batch, 0, static_cast<std::size_t>(file.gcount()));
    if (text.size() > kMostHaystackBytes)
      throw BadData(shown + " is longer than 1 GiB: give a shorter text");
  }
  if (!file.eof())
    throw Error(ExitCode::no_input, shown + " cannot be read: " + std::strerror(errno));
  if (const auto at = find_invalid_utf8(text))
    throw BadData(shown + ", byte " + std::to_string(*at) + ": is not UTF-8");
  if (sentences_of(text).empty()) throw BadData(shown + " holds no word: give a file with a text");
  options.haystack_text = std::move(text);
}

}  // namespace tovamill
