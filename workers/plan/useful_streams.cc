#include "workers/plan/useful_streams.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "io/corpus/record_reader.h"
#include "kernels/types/error.h"
#include "workers/load/memory_plan.h"

namespace tovamill {
namespace {

constexpr std::uint64_t kGlanceBytes = 16u << 20;  // of records that are read
constexpr std::uint64_t kGlanceFiles = 10'000;     // where --limit takes some of them

// Counts until there are enough. With --limit all, for it may be those with the most questions that
// are taken.
class Glance {
 public:
  Glance(const RunOptions& options, std::uint64_t n_enough)
      : options_(options),
        n_enough_(options.limit > 0 ? std::numeric_limits<std::uint64_t>::max() : n_enough),
        is_chunked_(options.job_kind != Job::score &&
                    options.generation.strategy == Strategy::chunk) {}

  // Nothing where there are enough, or more to read than a glance.
  std::optional<std::uint64_t> count(const std::vector<CorpusFile>& files) {
    for (const CorpusFile& file : files) {
      if (file.format.is_one_record() && (extent_of(file).is_exact || !is_chunked_))
        add(1, file.n_bytes);
      else if (!read(file))
        return {};
      if (n_ >= n_enough_) return {};
    }
    if (options_.limit > 0) n_ = std::min(n_, options_.limit * most_of_a_record_);
    return n_;
  }

 private:
  void add(std::uint64_t n_questions, std::uint64_t n_bytes) {
    std::uint64_t n = 1;
    if (options_.job_kind != Job::score)
      n = n_questions * static_cast<std::uint64_t>(options_.generation.samples);
    // A chunk's tokens have a byte at least; a tokenizer may add some at the ends.
    if (is_chunked_)
      n *= n_bytes / static_cast<std::uint64_t>(std::max(1, options_.cache.chunk_tokens)) + 2;
    most_of_a_record_ = std::max(most_of_a_record_, n);
    n_ += n;
  }

  bool read(const CorpusFile& file) {
    const auto records = open_records(file, options_.corpus);
    CorpusRecord record;
    while (n_ < n_enough_ && records->next(record)) {
      n_bytes_ += record.n_bytes;
      if (n_bytes_ > kGlanceBytes) return false;
      add(std::max<std::uint64_t>(1, record.questions.size()), record.text.size());
    }
    return true;
  }

  const RunOptions& options_;
  std::uint64_t n_enough_, n_ = 0, n_bytes_ = 0, most_of_a_record_ = 0;
  bool is_chunked_;
};

std::optional<std::uint64_t> counted_streams(const RunOptions& options, std::uint64_t n_enough) {
  RunOptions careful = options;  // a record that is longer than a glance is not held
  careful.corpus.max_record_bytes = std::min(options.corpus.max_record_bytes, kGlanceBytes);
  try {
    const auto files =
        glance_at_corpus(corpus_of(options), options.limit > 0 ? kGlanceFiles : n_enough);
    return files ? Glance(careful, n_enough).count(*files) : std::nullopt;
  } catch (const Error&) {
    return std::nullopt;  // whoever reads the corpus in earnest tells
  }
}

}  // namespace

std::int32_t useful_streams(const RunOptions& options) {
  if (options.streams > 0) return 0;
  const auto n_wanted = static_cast<std::uint64_t>(plan_rows(options).n_streams);
  std::uint64_t n = counted_streams(options, n_wanted).value_or(n_wanted);
  if (options.job_kind == Job::score && options.limit > 0) n = std::min(n, options.limit);
  return n < n_wanted ? static_cast<std::int32_t>(std::max<std::uint64_t>(1, n)) : 0;
}

}  // namespace tovamill
