#include "tests/support/models/random_corpus.h"

#include <set>

namespace tovamill::testing {

std::string random_jsonl(std::mt19937& random, int n_lines) {
  std::string bytes = random() % 3 == 0 ? "\xef\xbb\xbf" : "";
  for (int i = 0; i < n_lines; ++i) {
    const std::string text = "\"text\":\"" + std::string(1 + random() % 60, 'x') + "\"";
    switch (random() % 10) {
      case 0:
      case 1:
        break;
      case 2:
        bytes += " \t \v";
        break;
      case 3:
        bytes += "{broken";
        break;
      case 4:
        bytes += "{\"text\":\"" + std::string(kShortRecords + random() % 300, 'y') + "\"}";
        break;
      case 5:
      case 6:
        bytes += "{\"id\":\"own" + std::to_string(i) + "\"," + text + "}";
        break;
      default:
        bytes += std::string(random() % 3, ' ') + "{" + text + "}";
    }
    const bool last = i + 1 == n_lines;
    if (last && random() % 2 == 0) break;
    bytes += random() % 4 == 0 ? "\r\n" : "\n";
  }
  return bytes;
}

CorpusOptions short_records(const std::string& path) {
  CorpusOptions options;
  options.max_record_bytes = kShortRecords;
  if (!path.empty()) options.paths = {path};
  return options;
}

std::vector<CorpusRange> random_ranges(std::mt19937& random, std::uint64_t n_bytes) {
  std::set<std::uint64_t> cuts;
  for (unsigned n = random() % 12; n > 0 && n_bytes > 0; --n) {
    const std::uint64_t at = random() % n_bytes;
    cuts.insert(at);
    if (random() % 3 == 0) cuts.insert(at + 1);
  }
  cuts.insert(0);
  cuts.erase(n_bytes);
  std::vector<CorpusRange> ranges;
  for (const std::uint64_t cut : cuts) {
    if (!ranges.empty()) ranges.back().end = cut;
    ranges.push_back({cut, random() % 2 == 0 ? n_bytes : kToTheEnd});
  }
  return ranges;
}

}  // namespace tovamill::testing
