#include "pipeline/distributed/selection.h"

#include <algorithm>
#include <fstream>
#include <limits>

#include "io/corpus/record_reader.h"

namespace tovamill {
namespace {

// Nothing of it needs to be read: it may grow later.
bool is_empty(const CorpusFile& file) {
  if (!extent_of(file).holds_nothing()) return false;
  std::ifstream in(file.path, std::ios::binary);
  return in.is_open() && in.peek() == std::ifstream::traits_type::eof();
}

std::vector<FileRange> select_part(const std::vector<CorpusFile>& files, Part part) {
  std::uint64_t total = 0;
  for (const CorpusFile& file : files) total += file.n_bytes;
  // total * i / n without the product, which may be too large.
  const auto cut = [&](std::uint64_t i) {
    return total / part.n * i + total % part.n * i / part.n;
  };
  const std::uint64_t first = cut(part.index - 1), last = cut(part.index);
  const bool is_last = part.index == part.n;
  std::vector<FileRange> ranges;
  std::uint64_t at = 0;  // of the file's first byte
  for (std::uint32_t i = 0; i < files.size(); ++i) {
    const std::uint64_t n_bytes = files[i].n_bytes;
    if (is_empty(files[i])) continue;
    if (const FileExtent extent = extent_of(files[i]); extent.can_be_cut()) {
      const std::uint64_t begin = std::max(first, at), end = std::min(last, at + n_bytes);
      const FileRange range{i, extent.cut_at_byte(begin - std::min(begin, at), n_bytes),
                            extent.cut_at_byte(end - std::min(end, at), n_bytes)};
      if (begin < end && range.begin < range.end) ranges.push_back(range);
    } else if (at >= first && (at < last || is_last)) {
      ranges.push_back({i, 0, kToTheEnd});
    }
    at += n_bytes;
  }
  return ranges;
}

// Skips the first `n` records of a range and subtracts those that it found from `n`. Returns where
// they end: the place of the record behind the last, or the end of the range.
std::uint64_t skip_records(const CorpusFile& file, const CorpusOptions& options, FileRange range,
                           std::uint64_t& n) {
  if (n == 0) return range.begin;
  if (file.format.is_one_record()) {
    --n;
    return range.end;
  }
  const auto records = open_records(file, options, {range.begin, range.end});
  std::uint64_t end = range.begin;
  for (CorpusSpan span; n > 0 && records->skip(span); end = span.end) --n;
  return n > 0 ? range.end : std::min(end, range.end);
}

}  // namespace

std::vector<FileRange> select_ranges(const std::vector<CorpusFile>& files,
                                     const CorpusOptions& options, std::uint64_t skip,
                                     std::uint64_t limit, Part part) {
  std::vector<FileRange> selected;
  std::uint64_t left = limit == 0 ? std::numeric_limits<std::uint64_t>::max() : limit;
  for (FileRange range : select_part(files, part)) {
    const CorpusFile& file = files[range.file];
    range.begin = skip_records(file, options, range, skip);
    if (range.begin >= range.end) continue;
    if (left == 0) break;
    if (limit > 0) range.end = skip_records(file, options, range, left);
    if (range.begin < range.end) selected.push_back(range);
  }
  return selected;
}

}  // namespace tovamill
