#include "io/corpus/corpus_sample.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "io/compression/byte_stream.h"
#include "io/corpus/json_record.h"
#include "io/corpus/line_probe.h"
#include "io/corpus/questions.h"
#include "io/files/utf8.h"

namespace tovamill {
namespace {

constexpr std::size_t kMostFilesAtPlace = 64;
constexpr std::size_t kMostLinesAtPlace = 1024;
// Fewer lines than these would fill a place: then a part of one line does.
constexpr std::uint64_t kFewLines = 5;
constexpr std::size_t kMostFilesWhole = 4096;  // opened for one sample
constexpr std::size_t kMostCompressedFiles = 16;
// Text read from the start of a compressed file: many blocks (128 KiB in zstd), so that what the
// decompressor holds back hardly counts.
constexpr std::size_t kCompressedTextBytes = 4u << 20;

// A part of a UTF-8 text cut anywhere, without the halves of characters at its ends.
std::string_view trimmed(std::string_view piece) {
  std::size_t begin = 0;
  while (begin < piece.size() && begin < 3 && (piece[begin] & 0xC0) == 0x80) ++begin;
  piece.remove_prefix(begin);
  const std::size_t good = valid_utf8_prefix(piece);
  return piece.size() - good <= 3 ? piece.substr(0, good) : piece;
}

std::string_view without_mark(std::string_view text) {
  return text.starts_with(kByteOrderMark) ? text.substr(kByteOrderMark.size()) : text;
}

// At most `room` bytes of texts: all, or one of every so many, or the middles of a few long ones.
std::vector<std::string> thinned(std::vector<std::string> texts, std::uint64_t room) {
  std::uint64_t sum = 0;
  for (const std::string& text : texts) sum += text.size();
  if (sum <= room || room == 0) return texts;
  const auto stride = static_cast<std::size_t>((sum + room - 1) / room);
  std::vector<std::string> kept;
  if (texts.size() >= 8 * stride) {
    for (std::size_t i = 0; i < texts.size(); i += stride) kept.push_back(std::move(texts[i]));
    return kept;
  }
  // The part of each text moves with its number: beginnings are not like the rest.
  const double share = static_cast<double>(room) / static_cast<double>(sum);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto n = static_cast<std::size_t>(share * static_cast<double>(texts[i].size()));
    const double at = std::fmod(0.5 + 0.618 * static_cast<double>(i), 1.0);
    const auto begin = static_cast<std::size_t>(at * static_cast<double>(texts[i].size() - n));
    kept.emplace_back(trimmed(std::string_view(texts[i]).substr(begin, n)));
  }
  return kept;
}

class Sampler {
 public:
  Sampler(const std::vector<CorpusFile>& files, const CorpusOptions& options)
      : files_(files), options_(options), json_(options) {}

  std::vector<Sample> take() { return std::move(samples_); }

  // `stratum`: indices of files of one format. `place_bytes` of text at each place.
  // `is_small`: the corpus has no more bytes than the sample may have.
  void add(const std::vector<std::size_t>& stratum, std::size_t n_places, std::uint64_t place_bytes,
           bool is_small) {
    std::uint64_t total = 0;
    for (const std::size_t f : stratum) total += files_[f].n_bytes;
    const CorpusFile& first = files_[stratum.front()];
    const bool is_whole =
        (is_small || total <= n_places * place_bytes) && stratum.size() <= kMostFilesWhole;
    if (first.format.is_compressed()) return add_compressed(stratum, n_places, place_bytes);
    if (is_whole) {
      for (const std::size_t f : stratum) add_whole(f);
      return;
    }
    n_lines_.clear();
    stratum_bytes_ = total;
    std::uint64_t before = 0;  // bytes of the stratum's files before `at`
    std::size_t at = 0;
    for (std::size_t i = 0; i < n_places; ++i) {
      const auto place =
          static_cast<std::uint64_t>(static_cast<double>(total) * (static_cast<double>(i) + 0.5) /
                                     static_cast<double>(n_places));
      while (at + 1 < stratum.size() && before + files_[stratum[at]].n_bytes <= place)
        before += files_[stratum[at++]].n_bytes;
      if (first.format.is_one_record()) {
        add_texts(stratum, at, place - before, place_bytes);
      } else {
        add_lines(stratum[at], place - before, place_bytes);
      }
    }
  }

 private:
  void add_bad(std::size_t f) {
    samples_.push_back({.file = f,
                        .whole = true,
                        .n_disk_bytes = files_[f].n_bytes,
                        .n_records = 1,
                        .n_bad = 1,
                        .texts = {}});
  }

  void add_whole(std::size_t f) {
    if (files_[f].format.is_one_record()) return add_text(f, 0, files_[f].n_bytes);
    LineProbe lines(files_[f].path);
    if (!lines.ok()) return add_bad(f);
    Sample sample{.file = f, .whole = true, .n_disk_bytes = files_[f].n_bytes, .texts = {}};
    std::string line;
    while (lines.next(line)) add_line(line, sample);
    samples_.push_back(std::move(sample));
  }

  // Bytes [offset, offset + n) of a .txt.
  void add_text(std::size_t f, std::uint64_t offset, std::uint64_t n) {
    const CorpusFile& file = files_[f];
    n = std::min(n, file.n_bytes - offset);
    const bool whole = n == file.n_bytes;
    const std::optional<std::string> bytes = read_range(file.path, offset, n);
    if (!bytes) return add_bad(f);
    Sample sample{.file = f, .whole = whole, .n_disk_bytes = n, .n_records = 1, .texts = {}};
    std::string_view text = offset == 0 ? without_mark(*bytes) : std::string_view(*bytes);
    if (!whole) text = trimmed(text);
    const bool bad = valid_utf8_prefix(text) < text.size() || text.empty() ||
                     file.n_bytes > options_.max_record_bytes;
    sample.n_bad = bad ? 1 : 0;
    if (!bad) {
      sample.n_questions = 1;
      sample.n_text_bytes = whole ? text.size() : n;
      sample.texts.emplace_back(text);
    }
    samples_.push_back(std::move(sample));
  }

  void add_texts(const std::vector<std::size_t>& stratum, std::size_t at, std::uint64_t offset,
                 std::uint64_t room) {
    for (std::size_t i = 0; room > 0 && i < kMostFilesAtPlace && at + i < stratum.size(); ++i) {
      const std::uint64_t n = files_[stratum[at + i]].n_bytes;
      const std::uint64_t begin = i > 0 || n <= room ? 0 : offset;
      const std::uint64_t some = std::min(room, n - begin);
      add_text(stratum[at + i], begin, some);
      room -= some;
    }
  }

  void add_line(std::string& line, Sample& sample) {
    if (line.find_first_not_of(" \t\r\v\f") == std::string::npos) return;
    ++sample.n_records;
    const bool too_large = line.size() > options_.max_record_bytes;
    JsonFields fields = too_large ? JsonFields{} : json_.parse(line);
    if (too_large || !fields.reason.empty() || fields.text->empty()) {
      ++sample.n_bad;
      return;
    }
    CorpusRecord asked;
    if (!read_questions(fields.questions, fields.references, options_, asked)) {
      ++sample.n_bad;
      return;
    }
    sample.n_questions += std::max<std::size_t>(1, asked.questions.size());
    if (sample.question.empty() && !asked.questions.empty()) sample.question = asked.questions[0];
    sample.n_text_bytes += fields.text->size();
    sample.texts.push_back(std::move(*fields.text));
  }

  // How many lines fill a place of a file: counted at its first place. Files that are a small part
  // of their stratum share the count.
  std::uint64_t lines_at_place(std::size_t f, std::uint64_t offset, std::uint64_t room) {
    const std::size_t key = files_[f].n_bytes * 8 >= stratum_bytes_ ? f : files_.size();
    std::uint64_t& n = n_lines_[key];
    if (n > 0) return n;
    LineProbe lines(files_[f].path);
    if (!lines.seek_behind_line(offset)) lines.rewind();
    std::string line;
    std::uint64_t n_bytes = 0;
    while (n_bytes < room && n < kMostLinesAtPlace && lines.next(line)) {
      n_bytes += lines.n_line_bytes();
      ++n;
    }
    n = std::max<std::uint64_t>(n, 1);
    return n;
  }

  void add_lines(std::size_t f, std::uint64_t offset, std::uint64_t room) {
    LineProbe lines(files_[f].path);
    if (!lines.ok()) return add_bad(f);
    const std::uint64_t n = lines_at_place(f, offset, room);
    if (n < kFewLines) return add_line_around(f, lines, offset, room);
    std::string line;
    if (!lines.seek_behind_line(offset) || !lines.next(line)) {
      lines.rewind();  // no line begins behind the place
      if (!lines.next(line)) return;
    }
    Sample sample{.file = f, .texts = {}};
    for (std::uint64_t i = 0; i < n; ++i) {
      if (lines.is_cut()) break;
      sample.n_disk_bytes += lines.n_line_bytes();
      add_line(line, sample);
      if (i + 1 < n && !lines.next(line)) break;
    }
    sample.texts = thinned(std::move(sample.texts), room);
    samples_.push_back(std::move(sample));
  }

  void add_line_around(std::size_t f, LineProbe& lines, std::uint64_t offset, std::uint64_t room) {
    std::string line;
    const bool found = lines.seek_line_around(offset);
    const std::uint64_t begin = lines.position();
    if (!found || !lines.next(line) || lines.is_cut()) return add_raw(f, offset, room);
    Sample sample{.file = f, .n_disk_bytes = lines.n_line_bytes(), .texts = {}};
    sample.weight = static_cast<double>(room) / static_cast<double>(sample.n_disk_bytes);
    add_line(line, sample);
    if (!sample.texts.empty() && sample.texts.front().size() > room) {
      const std::string_view text = sample.texts.front();
      const double at = static_cast<double>(offset - std::min(begin, offset)) /
                        static_cast<double>(sample.n_disk_bytes);
      const auto from = static_cast<std::size_t>(at * static_cast<double>(text.size() - room));
      sample.texts = {std::string(trimmed(text.substr(from, room)))};
    }
    samples_.push_back(std::move(sample));
  }

  // A part of a line that is too long to be parsed here: raw bytes, escapes included.
  void add_raw(std::size_t f, std::uint64_t offset, std::uint64_t room) {
    const std::optional<std::string> bytes = read_range(files_[f].path, offset, room);
    if (!bytes) return add_bad(f);
    Sample sample{.file = f, .n_disk_bytes = bytes->size(), .texts = {}};
    const std::string_view piece = trimmed(*bytes);
    if (valid_utf8_prefix(piece) == piece.size() && !piece.empty()) {
      sample.n_text_bytes = piece.size();
      sample.texts.emplace_back(piece);
    }
    samples_.push_back(std::move(sample));
  }

  // The files in which the places lie, each read from its start for the text of all its places.
  void add_compressed(const std::vector<std::size_t>& stratum, std::size_t n_places,
                      std::uint64_t place_bytes) {
    const std::size_t n = std::min({stratum.size(), n_places, kMostCompressedFiles});
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t f = stratum[(2 * i + 1) * stratum.size() / (2 * n)];
      add_start(f, n_places * place_bytes / n);
    }
  }

  void add_start(std::size_t f, std::uint64_t room) {
    const CorpusFile& file = files_[f];
    std::string text(kCompressedTextBytes, '\0');
    std::size_t n_read = 0;
    bool at_end = false;
    Sample sample{.file = f, .texts = {}};
    try {
      const auto stream = open_stream(file);
      while (!at_end && n_read < text.size()) {
        const std::size_t n = stream->read(std::span(text).subspan(n_read));
        at_end = n == 0;
        n_read += n;
      }
      sample.n_disk_bytes = at_end ? file.n_bytes : stream->n_bytes_taken();
    } catch (const StreamError&) {
      return add_bad(f);
    }
    text.resize(n_read);
    sample.whole = at_end;
    if (file.format.is_one_record()) {
      add_decompressed_text(text, sample);
    } else {
      add_decompressed_lines(text, sample);
    }
    sample.texts = thinned(std::move(sample.texts), room);
    samples_.push_back(std::move(sample));
  }

  // In parts of kPart bytes, so that the ones that are kept come from all over the text.
  void add_decompressed_text(std::string_view text, Sample& sample) {
    constexpr std::size_t kPart = 4096;
    const std::string_view content =
        sample.whole ? without_mark(text) : trimmed(without_mark(text));
    sample.n_records = 1;
    if (content.empty() || valid_utf8_prefix(content) < content.size()) {
      sample.n_bad = 1;
      return;
    }
    sample.n_text_bytes = content.size();
    for (std::size_t at = 0; at < content.size(); at += kPart)
      sample.texts.emplace_back(trimmed(content.substr(at, kPart)));
  }

  void add_decompressed_lines(std::string_view text, Sample& sample) {
    std::size_t used = 0;
    text = without_mark(text);
    for (std::size_t begin = 0; begin < text.size();) {
      std::size_t end = text.find('\n', begin);
      if (end == std::string_view::npos && !sample.whole) break;  // it continues there
      end = std::min(end, text.size());
      std::string line(text.substr(begin, end - begin));
      add_line(line, sample);
      used = begin = std::min(end + 1, text.size());
    }
    if (used == 0 && !text.empty()) {  // one line, longer than what was read: raw bytes
      sample.n_text_bytes = text.size();
      if (valid_utf8_prefix(trimmed(text)) == trimmed(text).size())
        sample.texts.emplace_back(trimmed(text));
    } else if (!sample.whole) {
      sample.n_disk_bytes =
          static_cast<std::uint64_t>(static_cast<double>(sample.n_disk_bytes) *
                                     static_cast<double>(used) / static_cast<double>(text.size()));
    }
  }

  const std::vector<CorpusFile>& files_;
  const CorpusOptions& options_;
  JsonRecordParser json_;
  std::map<std::size_t, std::uint64_t> n_lines_;  // lines_at_place of the stratum, by its key
  std::uint64_t stratum_bytes_ = 0;
  std::vector<Sample> samples_;
};

}  // namespace

std::vector<Sample> sample_corpus(const std::vector<CorpusFile>& files,
                                  const CorpusOptions& options, const SampleBudget& budget) {
  std::map<CorpusFormat, std::vector<std::size_t>> strata;
  double total = 0.0;
  for (std::size_t f = 0; f < files.size(); ++f) {
    strata[files[f].format].push_back(f);
    total += static_cast<double>(files[f].n_bytes);
  }
  const double n_places = static_cast<double>(std::max<std::size_t>(1, budget.n_places));
  const std::uint64_t place_bytes =
      std::max<std::uint64_t>(1, budget.n_bytes / std::max<std::size_t>(1, budget.n_places));
  Sampler sampler(files, options);
  for (const auto& [key, stratum] : strata) {
    double bytes = 0.0;
    for (const std::size_t f : stratum) bytes += static_cast<double>(files[f].n_bytes);
    // Rare kinds get a few places too: their ratio may be another.
    const double share = total > 0.0 ? std::round(n_places * bytes / total) : n_places;
    const double least = std::min(n_places, 4.0);
    sampler.add(stratum, static_cast<std::size_t>(std::max(least, share)), place_bytes,
                total <= static_cast<double>(budget.n_bytes));
  }
  return sampler.take();
}

}  // namespace tovamill
