#include "pipeline/results/results_group.h"

#include <limits>

#include "kernels/types/cache_options.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

constexpr double kNoScore = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t kLongestName = 16;  // of a status, a reason code, a kind of positions

}  // namespace

// ---- /documents ----

struct ResultsGroup::Documents {
  Documents(Hdf5File& file, const ResultsSizes& s)
      : n(s.n_documents), made(make_group(file, s.n_documents)), generates(s.generates), f(file) {
    id.emplace(f, "/documents/id", about("identifier of the document"), s.longest_id);
    path.emplace(f, "/documents/file", about("corpus file"), s.longest_file);
  }

  static bool make_group(Hdf5File& file, std::uint64_t n) {
    file.create_group("/documents");
    file.create_dimension("/documents/document", n,
                          "document, in the order of file and byte offset");
    return true;
  }

  Hdf5DatasetOptions about(const char* long_name, const char* units = "1") const {
    return {
        .long_name = long_name, .units = units, .scales = {"/documents/document"}, .expected = n};
  }

  void add(const DocumentRecord& r) {
    const bool failed = r.status == DocumentRecord::Status::failed,
               generated = generates || !r.generations.empty(),
               unscored = r.status == DocumentRecord::Status::unscored;
    id->append(r.id);
    path->append(r.file);
    line.append(r.line);
    offset.append(r.offset);
    n_bytes.append(r.n_bytes);
    n_words.append(r.n_words);
    n_tokens.append(r.n_tokens);
    n_scored.append(r.n_scored);
    nll_sum.append(failed || generated || unscored ? kNoScore : r.nll_sum);
    nll_sum_sq.append(failed || generated || unscored ? kNoScore : r.nll_sum_sq);
    positions.append(failed ? std::string_view() : name_of(static_cast<Positions>(r.positions)));
    clip_distance.append(r.clip_distance);
    status.append(failed ? "failed" : generated ? "generated" : unscored ? "unscored" : "scored");
  }

  void finish() {
    for (auto* column : {&*id, &*path, &positions, &status}) column->finish();
    for (auto* column : {&line, &offset, &n_bytes, &n_words, &n_tokens, &n_scored})
      column->finish();
    nll_sum.finish();
    nll_sum_sq.finish();
    clip_distance.finish();
  }

  using Counts = Hdf5Appender<std::uint64_t>;
  std::uint64_t n;
  bool made, generates;
  Hdf5File& f;
  std::optional<Hdf5StringAppender> id, path;
  Counts line{f, "/documents/line", about("line of a .jsonl file, from 1; 0 in a .txt file")};
  Counts offset{f, "/documents/offset",
                about("byte offset of the record in the decompressed file", "bytes")};
  Counts n_bytes{f, "/documents/n_bytes", about("length of the text in UTF-8", "bytes")};
  Counts n_words{f, "/documents/n_words",
                 about("words, as Python's str.split() counts them", "words")};
  Counts n_tokens{f, "/documents/n_tokens", about("tokens processed, a BOS included", "tokens")};
  Counts n_scored{f, "/documents/n_scored", about("tokens scored", "tokens")};
  Hdf5Appender<double> nll_sum{f, "/documents/nll_sum",
                               about("sum of the NLL of the scored tokens", "nats")};
  Hdf5Appender<double> nll_sum_sq{f, "/documents/nll_sum_sq",
                                  about("sum of the squared NLL of the scored tokens", "nats^2")};
  Hdf5StringAppender positions{f, "/documents/positions", about("rotary positions as used"),
                               kLongestName};
  Hdf5Appender<std::int32_t> clip_distance{
      f, "/documents/clip_distance",
      about("greatest rotary distance to the state as used", "tokens")};
  Hdf5StringAppender status{
      f, "/documents/status",
      about(generates ? "generated: see /generations, or failed: see /failures"
                      : "scored, unscored: no token has a likelihood, or failed: see /failures"),
      kLongestName};
};

// ---- /failures ----

struct ResultsGroup::Failures {
  Failures(Hdf5File& file, const ResultsSizes& s) : n(s.n_failed), made(make_group(file)), f(file) {
    path.emplace(f, "/failures/file", about("corpus file"), s.longest_file);
    text.emplace(f, "/failures/text", about("what was wrong"), s.longest_failure);
  }

  static bool make_group(Hdf5File& file) {
    file.create_group("/failures");
    return true;
  }

  Hdf5DatasetOptions about(const char* long_name, const char* units = "1") const {
    return {.long_name = long_name, .units = units, .scales = {"/failures/failure"}, .expected = n};
  }

  void add(const DocumentRecord& r) {
    path->append(r.file);
    line.append(r.line);
    offset.append(r.offset);
    reason.append(std::string_view(r.failure_reason).substr(0, 4 * kLongestName));
    text->append(r.failure_text);
    ++n_added;
  }

  void finish() {
    f.create_dimension("/failures/failure", n_added,
                       "failure, in the order of file and byte offset");
    for (auto* column : {&*path, &*text, &reason}) column->finish();
    line.finish();
    offset.finish();
  }

  std::uint64_t n;  // at most
  std::uint64_t n_added = 0;
  bool made;
  Hdf5File& f;
  std::optional<Hdf5StringAppender> path, text;
  Hdf5Appender<std::uint64_t> line{f, "/failures/line",
                                   about("line of a .jsonl file, from 1; 0 in a .txt file")};
  Hdf5Appender<std::uint64_t> offset{
      f, "/failures/offset", about("byte offset of the record in the decompressed file", "bytes")};
  Hdf5StringAppender reason{f, "/failures/reason", about("reason code"), 4 * kLongestName};
};

// ---- /tokens and /trace ----

// The groups are created with the first document that has per-token arrays; those before had no
// tokens.
struct ResultsGroup::Tokens {
  Tokens(Hdf5File& file, const ResultsSizes& s) : f(file), sizes(s) {}

  void add(const DocumentRecord& r) {
    if (!offsets && !(r.token_nll.empty() && r.token_ids.empty() && r.eviction_step.empty()))
      create(r);
    if (!offsets) {
      ++n_before;
      if (r.status != DocumentRecord::Status::failed) n_tokens_before += r.n_tokens;
      return;
    }
    offsets->append(total);
    if (r.n_tokens == 0 || r.status == DocumentRecord::Status::failed) return;
    if (n_tokens_before > 0 || nll.has_value() == r.token_nll.empty() ||
        ids.has_value() == r.token_ids.empty() ||
        eviction_step.has_value() == r.eviction_step.empty() ||
        (eviction_step && n_layers != r.layers.size()))
      throw BadData(
          "the record of " + r.file + " at byte " + std::to_string(r.offset) +
          " does not hold the per-token values that those before hold or lack: the journals are of "
          "different options");
    if (nll) nll->append(r.token_nll);
    if (ids) ids->append(r.token_ids);
    if (eviction_step) eviction_step->append(r.eviction_step);
    total += r.n_tokens;
  }

  void finish() {
    if (!offsets) return;
    offsets->append(total);
    f.create_dimension("/tokens/token", total, "token, document after document");
    f.create_dimension("/tokens/edge", offsets->n_columns(), "edge between documents");
    offsets->finish();
    if (nll) nll->finish();
    if (ids) ids->finish();
    if (!eviction_step) return;
    std::vector<std::int32_t> layers(n_layers);
    for (std::size_t l = 0; l < n_layers; ++l) layers[l] = static_cast<std::int32_t>(l);
    f.create_scale<std::int32_t>("/trace/layer", layers, "layer, from the input");
    f.create_dimension("/trace/token", total,
                       "token, document after document: the offsets are /tokens/offsets");
    eviction_step->finish();
  }

 private:
  void create(const DocumentRecord& r) {
    f.create_group("/tokens");
    offsets.emplace(
        f, "/tokens/offsets",
        Hdf5DatasetOptions{
            .long_name = "where each document's tokens begin; the last entry is where they end",
            .units = "tokens",
            .scales = {"/tokens/edge"},
            .expected = sizes.n_documents + 1});
    for (std::uint64_t i = 0; i < n_before; ++i) offsets->append(0);
    const auto about = [&](const char* long_name, const char* units) {
      return Hdf5DatasetOptions{.long_name = long_name,
                                .units = units,
                                .scales = {"/tokens/token"},
                                .expected = sizes.n_tokens};
    };
    if (!r.token_nll.empty())
      nll.emplace(f, "/tokens/nll",
                  about("NLL of the token; NaN where it was context only", "nats"));
    if (!r.token_ids.empty()) ids.emplace(f, "/tokens/id", about("vocabulary id", "1"));
    if (r.eviction_step.empty()) return;
    n_layers = r.layers.size();
    f.create_group("/trace");
    eviction_step.emplace(
        f, "/trace/death",
        Hdf5DatasetOptions{
            .long_name =
                "step, counted in the document, after which the token was gone; -1: never dropped",
            .units = "steps",
            .scales = {"/trace/layer", "/trace/token"},
            .expected = sizes.n_tokens},
        n_layers);
  }

  Hdf5File& f;
  ResultsSizes sizes;
  std::uint64_t total = 0;
  std::uint64_t n_before = 0;         // documents before the group was made
  std::uint64_t n_tokens_before = 0;  // of these
  std::size_t n_layers = 0;
  std::optional<Hdf5Appender<std::uint64_t>> offsets;
  std::optional<Hdf5Appender<float>> nll;
  std::optional<Hdf5Appender<std::int32_t>> ids, eviction_step;
};

// ---- the group ----

namespace {

void write_estimate(Hdf5File& file, const std::string& name, const Estimate& e) {
  file.set_attribute("/summary", name, e.value);
  file.set_attribute("/summary", name + "_se", e.standard_error);
}

}  // namespace

void write_text_summary(Hdf5File& file, const CorpusSummary& s) {
  const auto count = [&](const char* name, std::uint64_t n) {
    file.set_attribute("/summary", name, static_cast<std::int64_t>(n));
  };
  count("n_generations", s.n_generations);
  count("n_new_tokens", s.n_new_tokens);
  count("n_stop", s.n_stop);
  count("n_length", s.n_length);
  count("n_with_references", s.n_with_references);
  count("n_without_words", s.n_without_words);
  for (std::size_t i = 0; i < kTextScoreNames.size(); ++i) {
    write_estimate(file, kTextScoreNames[i], s.text_best[i]);
    write_estimate(file, std::string(kTextScoreNames[i]) + "_mean", s.text_mean[i]);
  }
}

ResultsGroup::ResultsGroup(const Hdf5File& file, const std::string& group,
                           const ResultsSizes& sizes)
    : generates_(sizes.generates),
      file_(file, group),
      documents_(std::make_unique<Documents>(file_, sizes)),
      failures_(std::make_unique<Failures>(file_, sizes)),
      tokens_(std::make_unique<Tokens>(file_, sizes)),
      generations_(file_, sizes.n_documents, sizes.longest_id),
      probe_(file_),
      positions_(file_, sizes.n_documents),
      summary_(sizes.generates) {}

ResultsGroup::~ResultsGroup() = default;

void ResultsGroup::add(const DocumentRecord& record) {
  generates_ = generates_ || !record.generations.empty();
  documents_->add(record);
  if (record.status == DocumentRecord::Status::failed) failures_->add(record);
  tokens_->add(record);
  generations_.add(record, n_added_++);
  probe_.add(record, n_generations_);
  n_generations_ += record.generations.size();
  cache_.add(record);
  positions_.add(record);
  classes_.add(record);
  summary_.add(record);
}

CorpusSummary ResultsGroup::finish() {
  documents_->finish();
  failures_->finish();
  tokens_->finish();
  generations_.finish(generates_);
  probe_.finish();
  cache_.write(file_);
  positions_.finish();
  classes_.write(file_);
  const CorpusSummary summary = summary_.finish();
  write_summary(summary);
  return summary;
}

void ResultsGroup::write_summary(const CorpusSummary& s) {
  file_.create_group("/summary");
  const auto count = [&](const char* name, std::uint64_t n) {
    file_.set_attribute("/summary", name, static_cast<std::int64_t>(n));
  };
  count("n_documents", s.n_documents);
  count("n_failed", s.n_failed);
  if (!s.generates) count("n_unscored", s.n_unscored);
  count("n_tokens", s.n_tokens);
  count("n_scored", s.n_scored);
  count("n_words", s.n_words);
  count("n_bytes", s.n_bytes);
  file_.set_attribute("/summary", "mean_attended", s.mean_attended);
  if (s.generates)
    write_text_summary(file_, s);
  else
    write_perplexities(s);
}

void ResultsGroup::write_perplexities(const CorpusSummary& s) {
  file_.set_attribute("/summary", "nll_sum", s.nll_sum);
  write_estimate(file_, "perplexity_token", s.perplexity_token);
  write_estimate(file_, "perplexity_word", s.perplexity_word);
  write_estimate(file_, "bits_per_byte", s.bits_per_byte);
  write_estimate(file_, "perplexity_token_macro", s.perplexity_token_macro);
  write_estimate(file_, "perplexity_word_macro", s.perplexity_word_macro);
  write_estimate(file_, "bits_per_byte_macro", s.bits_per_byte_macro);
}

}  // namespace tovamill
