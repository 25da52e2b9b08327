#include "workers/plan/plan_corpus.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

namespace tovamill {
namespace {

constexpr std::size_t kMostIds = 16384;
constexpr std::uint64_t kLargestShard = 64u << 20;  // bytes
constexpr std::uint64_t kShardsPerRank = 16;

// Sums over the samples of a stratum: the files of one format.
struct Sums {
  double disk_bytes = 0.0, text_bytes = 0.0, records = 0.0, bad = 0.0, questions = 0.0;
  double tokens = 0.0;                // in those texts: each sample's as its chunks have them
  std::set<std::size_t> whole_files;  // that went through the tokenizer to the last byte
};

double ratio(double a, double b) { return b > 0.0 ? a / b : 0.0; }

// The share of `n` records that are in [skip, skip + limit).
double chosen_share(const RunOptions& options, double n) {
  const double skip = static_cast<double>(options.skip), limit = static_cast<double>(options.limit);
  const double left = std::max(0.0, n - skip);
  return ratio(options.limit > 0 ? std::min(limit, left) : left, n);
}

class Planner {
 public:
  Planner(std::vector<CorpusFile> files, const RunOptions& options, const Tokenizer& tokenizer,
          bool has_bos)
      : files_(std::move(files)), options_(options), tokenizer_(tokenizer), has_bos_(has_bos) {}

  CorpusPlan plan(const SampleBudget& budget) {
    const bool counts_files = std::all_of(
        files_.begin(), files_.end(), [](const CorpusFile& f) { return f.format.is_one_record(); });
    if (counts_files) choose_files();
    add_samples(sample_corpus(files_, options_.corpus, budget));
    add_files();
    double words = 0.0;  // tokens without a BOS
    plan_.documents_are_exact = plan_.tokens_are_exact = true;
    for (KindPlan& kind : plan_.kinds) {
      plan_.n_documents += kind.n_documents;
      plan_.n_bad += kind.n_bad;
      plan_.n_questions += kind.n_questions;
      plan_.n_text_bytes += kind.n_text_bytes;
      words += kind.n_text_bytes * kind.tokens_per_byte;
      plan_.documents_are_exact &= kind.is_exact || kind.is_one_record;
      plan_.tokens_are_exact &= kind.is_exact;
    }
    if (!counts_files) choose_share(words);
    plan_.n_tokens = words + n_bos(words);
    return std::move(plan_);
  }

 private:
  // --skip and --limit where each file is a record.
  void choose_files() {
    const std::uint64_t n = files_.size(), first = std::min<std::uint64_t>(options_.skip, n);
    const std::uint64_t left = n - first,
                        most = options_.limit > 0 ? std::min(options_.limit, left) : left;
    files_.erase(files_.begin() + static_cast<std::ptrdiff_t>(first + most), files_.end());
    files_.erase(files_.begin(), files_.begin() + static_cast<std::ptrdiff_t>(first));
  }

  void choose_share(double& words) {
    if (options_.skip == 0 && options_.limit == 0) return;
    const double share = chosen_share(options_, plan_.n_documents);
    plan_.n_documents *= share;
    plan_.n_bad *= share;
    plan_.n_questions *= share;
    plan_.n_text_bytes *= share;
    words *= share;
    plan_.tokens_are_exact &= share == 1.0;
  }

  void add_samples(const std::vector<Sample>& samples) {
    std::vector<TokenId> ids;
    for (const Sample& s : samples) {
      const CorpusFile& file = files_[s.file];
      Sums& sums = sums_[file.format];
      sums.disk_bytes += s.weight * static_cast<double>(s.n_disk_bytes);
      sums.text_bytes += s.weight * static_cast<double>(s.n_text_bytes);
      sums.records += s.weight * static_cast<double>(s.n_records);
      sums.bad += s.weight * static_cast<double>(s.n_bad);
      sums.questions += s.weight * static_cast<double>(s.n_questions);
      if (plan_.question.empty()) plan_.question = s.question;
      double n_kept = 0.0, n_tokens = 0.0;
      for (const std::string& text : s.texts) {
        ids.clear();
        try {
          tokenizer_.encode(text, options_.parse_special, ids);
        } catch (const UnencodableText&) {  // a bad record: its text counts as one without tokens
          ids.clear();
        }
        n_kept += static_cast<double>(text.size());
        n_tokens += static_cast<double>(ids.size());
        const std::size_t room = kMostIds - plan_.ids.size();
        plan_.ids.insert(plan_.ids.end(), ids.begin(),
                         ids.begin() + static_cast<std::ptrdiff_t>(std::min(room, ids.size())));
      }
      sums.tokens += s.weight * n_tokens * ratio(static_cast<double>(s.n_text_bytes), n_kept);
      plan_.n_sampled_bytes += static_cast<std::uint64_t>(n_kept);
      if (s.whole && n_kept == static_cast<double>(s.n_text_bytes)) sums.whole_files.insert(s.file);
    }
    plan_.n_places = samples.size();
  }

  void add_files() {
    std::map<CorpusFormat, std::vector<const CorpusFile*>> strata;
    for (const CorpusFile& file : files_) {
      strata[file.format].push_back(&file);
      plan_.n_bytes += file.n_bytes;
    }
    plan_.n_files = files_.size();
    for (const auto& [format, members] : strata) add_kind(format, members);
  }

  void add_kind(const CorpusFormat& format, const std::vector<const CorpusFile*>& members) {
    const Sums& sums = sums_[format];
    KindPlan kind{
        .name = format.name(), .is_one_record = format.is_one_record(), .n_files = members.size()};
    for (const CorpusFile* file : members) kind.n_bytes += file->n_bytes;
    const double bytes = static_cast<double>(kind.n_bytes);
    kind.is_exact = sums.whole_files.size() == members.size();
    kind.n_text_bytes = bytes * ratio(sums.text_bytes, sums.disk_bytes);
    kind.tokens_per_byte = ratio(sums.tokens, sums.text_bytes);
    const double records = bytes * ratio(sums.records, sums.disk_bytes);
    kind.n_documents = kind.is_one_record ? static_cast<double>(members.size()) : records;
    if (kind.is_exact && !kind.is_one_record) kind.n_documents = sums.records;
    kind.n_bad = kind.n_documents * ratio(sums.bad, sums.records);
    kind.n_questions =
        (kind.n_documents - kind.n_bad) * ratio(sums.questions, sums.records - sums.bad);
    if (format.division() == Division::whole)
      note_largest(members, ratio(kind.n_text_bytes * kind.tokens_per_byte, bytes));
    plan_.kinds.push_back(std::move(kind));
  }

  void note_largest(const std::vector<const CorpusFile*>& members, double tokens_per_disk_byte) {
    const CorpusFile* file =
        *std::max_element(members.begin(), members.end(),
                          [](const auto* a, const auto* b) { return a->n_bytes < b->n_bytes; });
    const double tokens = static_cast<double>(file->n_bytes) * tokens_per_disk_byte;
    if (plan_.largest.path.empty() || tokens > plan_.largest.n_tokens)
      plan_.largest = {.path = file->path, .n_bytes = file->n_bytes, .n_tokens = tokens};
  }

  // One before each document, or before each of its chunks, which it fills up.
  double n_bos(double words) const {
    const double n_good = plan_.n_documents - plan_.n_bad;
    if (!has_bos_ || n_good <= 0.0) return 0.0;
    const double chunk = options_.cache.chunk_tokens;
    if (chunk <= 0.0) return n_good;
    return n_good * std::max(1.0, std::ceil(words / n_good / std::max(1.0, chunk - 1.0)));
  }

  std::vector<CorpusFile> files_;
  const RunOptions& options_;
  const Tokenizer& tokenizer_;
  bool has_bos_;
  std::map<CorpusFormat, Sums> sums_;
  CorpusPlan plan_;
};

}  // namespace

double CorpusPlan::tokens_per_document() const { return ratio(n_tokens, n_documents - n_bad); }

CorpusPlan plan_corpus(std::vector<CorpusFile> files, const RunOptions& options,
                       const Tokenizer& tokenizer, bool has_bos, const SampleBudget& budget) {
  return Planner(std::move(files), options, tokenizer, has_bos).plan(budget);
}

ShardPlan plan_shards(const std::vector<CorpusFile>& files, std::int32_t n_ranks) {
  ShardPlan plan;
  std::uint64_t total = 0;
  for (const CorpusFile& file : files) total += file.n_bytes;
  const std::uint64_t part = kShardsPerRank * static_cast<std::uint64_t>(std::max(1, n_ranks));
  plan.most_bytes = std::clamp<std::uint64_t>(total / part, 1, kLargestShard);
  for (const CorpusFile& file : files) {
    const bool is_cut = file.format.division() != Division::whole && file.n_bytes > plan.most_bytes;
    ++(is_cut ? plan.n_cut_files : plan.n_whole_files);
    plan.n_shards += is_cut ? (file.n_bytes + plan.most_bytes - 1) / plan.most_bytes : 1;
  }
  return plan;
}

}  // namespace tovamill
