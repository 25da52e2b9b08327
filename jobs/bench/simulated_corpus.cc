#include "jobs/bench/simulated_corpus.h"

#include <cmath>
#include <cstdio>
#include <random>
#include <string>

namespace tovamill {
namespace {

constexpr double kMedianBytes = 4096.0, kSigma = 1.0;

class Lengths {
 public:
  std::uint64_t next() { return 16 + static_cast<std::uint64_t>(distribution_(random_)); }

 private:
  std::mt19937_64 random_{11};
  std::lognormal_distribution<double> distribution_{std::log(kMedianBytes), kSigma};
};

std::string numbered(const char* format, int a, int b) {
  char text[160];
  std::snprintf(text, sizeof text, format, a, b);
  return text;
}

}  // namespace

SimulatedCorpus simulated_lines(int n_files, int n_documents_each) {
  SimulatedCorpus c;
  Lengths lengths;
  for (int f = 0; f < n_files; ++f) {
    std::vector<std::uint64_t> offsets{0};
    offsets.reserve(static_cast<std::size_t>(n_documents_each) + 1);
    for (int d = 0; d < n_documents_each; ++d) offsets.push_back(offsets.back() + lengths.next());
    c.files.push_back({.path = numbered("/data/corpora/crawl-%d/lines-%06d.jsonl", 2026, f),
                       .n_bytes = offsets.back(),
                       .format = {.kind = CorpusFormat::Kind::jsonl}});
    c.n_bytes += offsets.back();
    c.offsets.push_back(std::move(offsets));
  }
  c.n_documents =
      static_cast<std::uint64_t>(n_files) * static_cast<std::uint64_t>(n_documents_each);
  return c;
}

SimulatedCorpus simulated_texts(int n_documents) {
  SimulatedCorpus c;
  Lengths lengths;
  c.files.reserve(static_cast<std::size_t>(n_documents));
  for (int f = 0; f < n_documents; ++f) {
    c.files.push_back(
        {.path = numbered("/scratch/project/corpora/books-and-letters/%05d/text-%010d.txt",
                          f / 1000, f),
         .n_bytes = lengths.next(),
         .format = {.kind = CorpusFormat::Kind::text}});
    c.n_bytes += c.files.back().n_bytes;
  }
  c.n_documents = static_cast<std::uint64_t>(n_documents);
  return c;
}

}  // namespace tovamill
