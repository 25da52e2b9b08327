// A corpus file in pieces: whatever the cuts, the records and what they account for are the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "io/corpus/corpus.h"
#include "io/corpus/line_counter.h"
#include "io/corpus/record_reader.h"
#include "tests/support/compress.h"
#include "tests/support/models/random_corpus.h"
#include "tests/support/row_step.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::random_jsonl;
using testing::random_ranges;
using testing::TemporaryDirectory;

struct Piece {
  std::vector<CorpusRecord> records;
  CorpusSpan rest;
};

Piece drain(RecordReader& reader) {
  Piece piece;
  for (CorpusRecord r; reader.next(r);) piece.records.push_back(r);
  piece.rest = reader.rest();
  return piece;
}

Piece read_range(const CorpusFile& file, CorpusRange range = {}, const CorpusOptions& o = {}) {
  return drain(*open_records(file, o, range));
}

// By one reader as far as it goes on, or by a new one for each range.
std::vector<Piece> read_pieces(const CorpusFile& file, const CorpusOptions& options,
                               const std::vector<CorpusRange>& ranges, bool go_on) {
  std::vector<Piece> pieces;
  std::unique_ptr<RecordReader> reader;
  for (const CorpusRange& range : ranges) {
    if (!reader || !go_on || !reader->continue_with(range))
      reader = open_records(file, options, range);
    pieces.push_back(drain(*reader));
  }
  return pieces;
}

void expect_same_but_line(const CorpusRecord& a, const CorpusRecord& b) {
  EXPECT_EQ(a.offset, b.offset);
  EXPECT_EQ(a.n_bytes, b.n_bytes);
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.failure_reason, b.failure_reason);
  EXPECT_EQ(a.failure_text, b.failure_text);
  EXPECT_EQ(a.span_end, b.span_end);
  if (!b.id.empty()) {
    EXPECT_EQ(a.id, b.id);
  }
}

void expect_pieces_make_the_whole(const CorpusFile& file, const CorpusOptions& options,
                                  const std::vector<Piece>& pieces, std::uint64_t n_bytes) {
  const std::vector<CorpusRecord> whole = read_range(file, {}, options).records;
  std::size_t n = 0;
  std::uint64_t at = 0, n_lines = 0;
  const auto account = [&](std::uint64_t begin, std::uint64_t end, std::uint64_t lines) {
    if (begin == end) return;
    EXPECT_EQ(begin, at);
    at = std::min(end, n_bytes);
    n_lines += lines;
  };
  for (const Piece& piece : pieces) {
    for (const CorpusRecord& record : piece.records) {
      ASSERT_LT(n, whole.size());
      expect_same_but_line(whole[n], record);
      EXPECT_TRUE(record.span_begin <= record.offset && record.offset < record.span_end);
      account(record.span_begin, record.span_end, record.n_lines);
      EXPECT_EQ(n_lines, whole[n].line);
      ++n;
    }
    if (piece.rest.begin < n_bytes) account(piece.rest.begin, piece.rest.end, piece.rest.n_lines);
  }
  EXPECT_EQ(n, whole.size());
  EXPECT_EQ(at, n_bytes);
}

TEST(CorpusRange, PiecesMakeTheWholeWhateverTheCuts) {
  TemporaryDirectory d;
  CorpusOptions options;
  options.max_record_bytes = testing::kShortRecords;
  std::mt19937 random(11);
  for (std::size_t round = 0; round < 120 / testing::row_step(8); ++round) {
    SCOPED_TRACE(round);
    const std::string bytes = random_jsonl(random, static_cast<int>(random() % 40));
    for (const std::string& path :
         {d.write("x.jsonl", bytes), d.write("x.jsonl.gz", testing::gzip(bytes)),
          d.write("x.jsonl.zst", testing::zstd(bytes)), d.write("x.jsonl.xz", testing::xz(bytes)),
          d.write("x.jsonl.bz2", testing::bzip2(bytes))}) {
      const CorpusFile file = *corpus_file_at(path);
      const auto ranges = random_ranges(random, bytes.size());
      for (const bool go_on : {false, true})
        expect_pieces_make_the_whole(file, options, read_pieces(file, options, ranges, go_on),
                                     bytes.size());
      if (HasFailure()) return;
    }
  }
}

TEST(CorpusRange, EveryTwoCutsOfASmallFileMakeTheWhole) {
  TemporaryDirectory d;
  for (const std::string& bytes :
       {std::string("\xef\xbb\xbf\n{\"text\":\"a\"}\r\n\n {\"text\":\"b\"}\n\n\n"),
        std::string("{\"text\":\"a\"}\n\r\n{\"text\":\"b\"}"), std::string("\n\n\n"),
        std::string("\xef\xbb\xbf"), std::string("nonsense")}) {
    const CorpusFile file = *corpus_file_at(d.write("x.jsonl", bytes));
    for (std::uint64_t one = 0; one <= bytes.size(); ++one) {
      for (std::uint64_t two = one; two <= bytes.size(); ++two) {
        SCOPED_TRACE(std::to_string(one) + " " + std::to_string(two));
        const std::vector<CorpusRange> ranges{{0, one}, {one, two}, {two, bytes.size()}};
        for (const bool go_on : {false, true})
          expect_pieces_make_the_whole(file, {}, read_pieces(file, {}, ranges, go_on),
                                       bytes.size());
        if (HasFailure()) return;
      }
    }
  }
}

TEST(CorpusRange, LongLinesBeyondTheBufferAreCutToo) {
  TemporaryDirectory d;
  std::mt19937 random(5);
  std::string bytes;
  for (const std::size_t n : {3u << 20, 10u, 1u << 20, (2u << 20) + 7u, 0u}) {
    bytes += "{\"text\":\"" + std::string(n, 'z') + "\"}\n";
    bytes += std::string(random() % 5, '\n');
  }
  const CorpusFile plain = *corpus_file_at(d.write("x.jsonl", bytes)),
                   packed = *corpus_file_at(d.write("x.jsonl.gz", testing::gzip(bytes)));
  for (int round = 0; round < 6; ++round) {
    const auto ranges = random_ranges(random, bytes.size());
    expect_pieces_make_the_whole(plain, {}, read_pieces(plain, {}, ranges, round % 2 == 0),
                                 bytes.size());
    expect_pieces_make_the_whole(packed, {}, read_pieces(packed, {}, ranges, true), bytes.size());
  }
}

const std::string kThree = "{\"text\":\"a\"}\n\n{\"text\":\"b\"}\n{\"text\":\"c\",\"id\":7}\n\n";

TEST(CorpusRange, SpansHoldTheBlankLinesInFront) {
  TemporaryDirectory d;
  const CorpusFile file = *corpus_file_at(d.write("x.jsonl", kThree));
  const Piece whole = read_range(file);
  ASSERT_EQ(whole.records.size(), 3u);
  const CorpusRecord& b = whole.records[1];
  EXPECT_EQ(b.span_begin, 13u);
  EXPECT_EQ(b.offset, 14u);
  EXPECT_EQ(b.span_end, 27u);
  EXPECT_EQ(b.n_lines, 2u);
  EXPECT_EQ(b.line, 3u);
  EXPECT_EQ(whole.rest, (CorpusSpan{47, kToTheEnd, 1}));
}

TEST(CorpusRange, BeginsAtTheFirstLineThatStartsInIt) {
  TemporaryDirectory d;
  const CorpusFile file = *corpus_file_at(d.write("x.jsonl", kThree));
  for (const std::uint64_t begin : {14u, 13u, 2u, 1u}) {
    const Piece piece = read_range(file, {begin, 15});
    ASSERT_EQ(piece.records.size(), 1u) << begin;
    EXPECT_EQ(piece.records[0].text, "b");
    EXPECT_EQ(piece.records[0].line, 0u);
    EXPECT_EQ(piece.records[0].id, "");
    EXPECT_EQ(piece.records[0].span_begin, begin == 14 ? 14u : 13u);
    EXPECT_EQ(piece.records[0].n_lines, begin == 14 ? 1u : 2u);
    EXPECT_TRUE(piece.rest.empty());
  }
  EXPECT_EQ(read_range(file, {15, 28}).records.at(0).id, "7");
  EXPECT_TRUE(read_range(file, {15, 27}).records.empty());
  EXPECT_TRUE(read_range(file, {15, 27}).rest.empty());
  EXPECT_EQ(read_range(file, {2, 14}).rest, (CorpusSpan{13, 14, 1}));
  EXPECT_EQ(read_range(file, {100, kToTheEnd}).rest.end, kToTheEnd);
  EXPECT_TRUE(read_range(file, {14, 14}).records.empty());
}

TEST(CorpusRange, ATextStartsAtZeroAndIsNotCut) {
  TemporaryDirectory d;
  const CorpusFile file = *corpus_file_at(d.write("x.txt", "\xef\xbb\xbfone\ntwo\n"));
  const Piece front = read_range(file, {0, 2});
  ASSERT_EQ(front.records.size(), 1u);
  EXPECT_EQ(front.records[0].text, "one\ntwo\n");
  EXPECT_EQ(front.records[0].span_begin, 0u);
  EXPECT_EQ(front.records[0].span_end, kToTheEnd);
  EXPECT_EQ(front.records[0].n_lines, 0u);
  EXPECT_TRUE(front.rest.empty());
  EXPECT_TRUE(read_range(file, {2, kToTheEnd}).records.empty());
  EXPECT_TRUE(read_range(file, {2, kToTheEnd}).rest.empty());
}

TEST(CorpusRange, WhatCannotBeReadIsAFailureOfItsRange) {
  const CorpusFile gone{.path = "/nonexistent/x.jsonl",
                        .format = {.kind = CorpusFormat::Kind::jsonl}};
  for (const std::uint64_t begin : {0u, 500u}) {
    const Piece piece = read_range(gone, {begin, 1000});
    ASSERT_EQ(piece.records.size(), 1u);
    EXPECT_EQ(piece.records[0].failure_reason, "unreadable");
    EXPECT_EQ(piece.records[0].offset, begin);
    EXPECT_EQ(piece.records[0].span_begin, begin);
    EXPECT_EQ(piece.records[0].span_end, kToTheEnd);
    EXPECT_EQ(piece.records[0].failure_text.find("cannot be opened"), 0u);
    EXPECT_TRUE(piece.rest.empty());
  }
}

TEST(CorpusRange, ABreakAccountsForAllBehindIt) {
  TemporaryDirectory d;
  std::string lines;
  for (int i = 0; i < 5000; ++i)
    lines += "{\"text\":\"" + std::to_string(i * 7919 % 10007) + "\"}\n\n";
  const std::string packed = testing::gzip(lines);
  const CorpusFile file =
      *corpus_file_at(d.write("x.jsonl.gz", packed.substr(0, packed.size() / 2)));
  const Piece whole = read_range(file);
  ASSERT_GT(whole.records.size(), 10u);
  EXPECT_EQ(whole.records.back().failure_reason, "truncated");
  EXPECT_EQ(whole.records.back().span_end, kToTheEnd);
  EXPECT_TRUE(whole.rest.empty());
  // Going on from a place that was reached before meets the same end.
  const std::uint64_t begin = whole.records[whole.records.size() - 3].span_begin;
  const Piece end = read_range(file, {begin, kToTheEnd});
  ASSERT_EQ(end.records.size(), 3u);
  EXPECT_EQ(end.records.back().offset, whole.records.back().offset);
  EXPECT_EQ(end.records.back().failure_text, whole.records.back().failure_text);
}

TEST(CorpusRange, ReadersGoOnForwardsOnly) {
  TemporaryDirectory d;
  for (const std::string& path :
       {d.write("x.jsonl", kThree), d.write("x.jsonl.zst", testing::zstd(kThree)),
        d.write("x.jsonl.xz", testing::xz(kThree)),
        d.write("x.jsonl.bz2", testing::bzip2(kThree))}) {
    const CorpusFile file = *corpus_file_at(path);
    const auto reader = open_records(file, {}, {0, 5});
    EXPECT_EQ(drain(*reader).records.size(), 1u);
    EXPECT_FALSE(reader->continue_with({0, 5}));
    EXPECT_FALSE(reader->continue_with({12, 20}));
    ASSERT_TRUE(reader->continue_with({13, 14}));
    EXPECT_EQ(drain(*reader).rest, (CorpusSpan{13, 14, 1}));
    ASSERT_TRUE(reader->continue_with({20, kToTheEnd}));
    const Piece last = drain(*reader);
    ASSERT_EQ(last.records.size(), 1u);
    EXPECT_EQ(last.records[0].text, "c");
    EXPECT_EQ(last.rest, (CorpusSpan{47, kToTheEnd, 1}));
  }
}

TEST(CorpusRange, SkippingGivesTheSameSpans) {
  TemporaryDirectory d;
  CorpusOptions options;
  options.max_record_bytes = testing::kShortRecords;
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    const CorpusFile file = *corpus_file_at(d.write("x.jsonl", random_jsonl(random, 30)));
    const auto one = open_records(file, options), other = open_records(file, options);
    CorpusRecord record;
    CorpusSpan span;
    while (one->next(record)) {
      ASSERT_TRUE(other->skip(span));
      EXPECT_EQ(span, (CorpusSpan{record.span_begin, record.span_end, record.n_lines}));
    }
    EXPECT_FALSE(other->skip(span));
    EXPECT_EQ(one->rest(), other->rest());
  }
}

TEST(CorpusRange, AnEmptyIdIsNone) {
  TemporaryDirectory d;
  const CorpusFile file = *corpus_file_at(d.write("x.jsonl", "{\"text\":\"a\",\"id\":\"\"}\n"));
  EXPECT_EQ(read_range(file).records.at(0).id, "x.jsonl:1");
}

TEST(LineCounter, CountsWhatLiesBetween) {
  TemporaryDirectory d;
  std::string bytes;
  for (int i = 0; i < 300000; ++i)
    bytes += std::string(static_cast<std::size_t>(i % 9), 'a') + "\n";
  const auto expected = [&](std::uint64_t begin, std::uint64_t end) {
    return static_cast<std::uint64_t>(std::count(bytes.begin() + static_cast<std::ptrdiff_t>(begin),
                                                 bytes.begin() + static_cast<std::ptrdiff_t>(end),
                                                 '\n'));
  };
  for (const std::string& path :
       {d.write("x.jsonl", bytes), d.write("x.jsonl.gz", testing::gzip(bytes))}) {
    LineCounter counter(path);
    for (const auto& [begin, end] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
             {0, 0}, {0, 10}, {12, 1300000}, {5, 9}, {9, bytes.size()}})
      EXPECT_EQ(counter.count(begin, end), expected(begin, end)) << begin;
    EXPECT_EQ(counter.count(0, bytes.size() + 1), std::nullopt);
    EXPECT_EQ(counter.count(0, 10), expected(0, 10));
  }
  EXPECT_EQ(LineCounter("/nonexistent/x.jsonl").count(0, 1), std::nullopt);
  EXPECT_EQ(LineCounter("/nonexistent/x").count(0, 1), std::nullopt);
}

}  // namespace
}  // namespace tovamill
