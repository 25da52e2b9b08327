#include "pipeline/results/line_numbers.h"

#include <algorithm>
#include <map>
#include <optional>
#include <span>

#include "io/corpus/corpus.h"
#include "io/corpus/line_counter.h"

namespace tovamill {
namespace {

// One file's documents, from front to back.
class FileLines {
 public:
  FileLines(const std::string& path, std::span<const LineSpan> spans)
      : spans_(spans), counter_(path) {}

  std::uint64_t line_of(const DocumentLocation& d) {
    if (d.n_lines == 0) return 0;
    std::optional<std::uint64_t> line = add_up(d);
    if (!line) line = count_in_file(d);
    if (!line) return 0;
    const bool goes_on = d.span_end != kToTheEnd;
    known_ = goes_on ? d.span_end : d.offset;
    n_before_ = goes_on ? *line : *line - 1;
    return *line;
  }

 private:
  // Adds up lines from the last known place to the start of the document's span. Several workers
  // may have accounted for blank lines in between with different cuts.
  std::optional<std::uint64_t> add_up(const DocumentLocation& d) const {
    if (d.span_begin == known_) return n_before_ + d.n_lines;
    std::map<std::uint64_t, std::uint64_t> reached{{known_, n_before_}};  // lines before an offset
    auto s =
        std::lower_bound(spans_.begin(), spans_.end(), known_,
                         [](const LineSpan& span, std::uint64_t at) { return span.begin < at; });
    for (; s != spans_.end() && s->begin < d.span_begin; ++s) {
      const auto from = reached.find(s->begin);
      if (from != reached.end()) reached.try_emplace(s->end, from->second + s->n_lines);
    }
    const auto at = reached.find(d.span_begin);
    if (at == reached.end()) return std::nullopt;
    return at->second + d.n_lines;
  }

  std::optional<std::uint64_t> count_in_file(const DocumentLocation& d) {
    if (d.offset < known_) return std::nullopt;  // the file was changed between two starts
    const std::optional<std::uint64_t> n = counter_.count(known_, d.offset);
    if (!n) return std::nullopt;
    return n_before_ + *n + 1;
  }

  std::span<const LineSpan> spans_;  // of this file, by (begin, end)
  LineCounter counter_;
  std::uint64_t known_ = 0;     // offset of a line's start ...
  std::uint64_t n_before_ = 0;  // ... and the lines before it
};

}  // namespace

std::vector<std::uint64_t> line_numbers(const JournalIndex& index) {
  std::vector<std::uint64_t> lines;
  lines.reserve(index.documents.size());
  std::optional<FileLines> file;
  std::uint32_t number = 0;
  for (const DocumentLocation& d : index.documents) {
    if (!file || d.file != number) {
      number = d.file;
      const auto [first, last] = std::equal_range(
          index.line_spans.begin(), index.line_spans.end(), LineSpan{.file = number},
          [](const LineSpan& a, const LineSpan& b) { return a.file < b.file; });
      file.emplace(index.files[number], std::span(first, last));
    }
    lines.push_back(file->line_of(d));
  }
  return lines;
}

}  // namespace tovamill
