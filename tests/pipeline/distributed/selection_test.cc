#include "pipeline/distributed/selection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "io/corpus/record_reader.h"
#include "tests/support/compress.h"
#include "tests/support/models/random_corpus.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::TemporaryDirectory;
using Ranges = std::vector<FileRange>;
using Keys = std::vector<std::pair<std::string, std::uint64_t>>;  // file and offset

Keys keys_of(const std::vector<CorpusFile>& files, const CorpusOptions& options,
             const Ranges& ranges) {
  Keys keys;
  for (const FileRange& r : ranges) {
    const auto records = open_records(files[r.file], options, {r.begin, r.end});
    for (CorpusRecord record; records->next(record);) keys.emplace_back(record.file, record.offset);
  }
  return keys;
}

// Plain and compressed lines, texts, empty files, one that does not exist.
std::vector<CorpusFile> mixed_corpus(const TemporaryDirectory& d, std::mt19937& random) {
  for (const char* name : {"a.jsonl", "e.jsonl", "g.jsonl", "q.jsonl"})
    d.write(name, testing::random_jsonl(random, static_cast<int>(random() % 30)));
  d.write("b.jsonl", "");
  d.write("c.jsonl.gz", testing::gzip(testing::random_jsonl(random, 20)));
  const std::string whole = testing::zstd(testing::random_jsonl(random, 200));
  d.write("d.jsonl.zst", whole.substr(0, whole.size() / 2));
  d.write("f.txt", "some text\n");
  d.write("h.txt", "");
  std::filesystem::create_symlink(d.path() / "nowhere", d.path() / "p.jsonl");
  d.write("z.txt.gz", testing::gzip("text"));
  return list_corpus(testing::short_records(d.path()));
}

const CorpusOptions kShort = testing::short_records();

TEST(Selection, IsEveryFileWhole) {
  TemporaryDirectory d;
  d.write("a.jsonl", "{}\n");
  d.write("b.jsonl", "");
  d.write("c.jsonl.gz", testing::gzip("{}\n"));
  d.write("d.txt", "x");
  const auto files = list_corpus(testing::short_records(d.path()));
  EXPECT_EQ(select_ranges(files, {}, 0, 0),
            (Ranges{{0, 0, 3}, {2, 0, kToTheEnd}, {3, 0, kToTheEnd}}));
}

// An empty file may grow; one that cannot be read is a failure that somebody must find.
TEST(Selection, LeavesOutEmptyLinesAndNothingElse) {
  TemporaryDirectory d;
  d.write("a.jsonl", "");
  d.write("b.jsonl.gz", "");
  d.write("c.txt", "");
  std::filesystem::create_symlink(d.path() / "d.jsonl", d.path() / "d.jsonl");
  const auto files = list_corpus(testing::short_records(d.path()));
  EXPECT_EQ(select_ranges(files, {}, 0, 0),
            (Ranges{{1, 0, kToTheEnd}, {2, 0, kToTheEnd}, {3, 0, kToTheEnd}}));
}

TEST(Selection, SkipAndLimitCountTheRecords) {
  std::mt19937 random(1);
  for (int round = 0; round < 8; ++round) {
    TemporaryDirectory d;
    const auto files = mixed_corpus(d, random);
    const Keys all = keys_of(files, kShort, select_ranges(files, kShort, 0, 0));
    for (int i = 0; i < 25; ++i) {
      const std::size_t skip = random() % (all.size() + 3), limit = random() % (all.size() + 3);
      const auto from = all.begin() + static_cast<std::ptrdiff_t>(std::min(skip, all.size()));
      const auto left = static_cast<std::size_t>(all.end() - from);
      const Keys expected(
          from, from + static_cast<std::ptrdiff_t>(limit == 0 ? left : std::min(limit, left)));
      ASSERT_EQ(keys_of(files, kShort, select_ranges(files, kShort, skip, limit)), expected)
          << skip << " " << limit;
    }
  }
}

TEST(Selection, PartsHoldEachByteOnce) {
  std::mt19937 random(2);
  for (int round = 0; round < 4; ++round) {
    TemporaryDirectory d;
    const auto files = mixed_corpus(d, random);
    const Keys all = keys_of(files, kShort, select_ranges(files, kShort, 0, 0));
    for (const std::uint32_t n : {1u, 2u, 3u, 7u, 16u, 5000u}) {
      Keys joined;
      Ranges ranges;
      for (std::uint32_t i = 1; i <= n; ++i) {
        for (const FileRange& r : select_ranges(files, kShort, 0, 0, {i, n})) {
          if (!ranges.empty() && ranges.back().file == r.file) {
            EXPECT_EQ(ranges.back().end, r.begin);
          } else {
            EXPECT_EQ(r.begin, 0u);
          }
          ranges.push_back(r);
        }
      }
      joined = keys_of(files, kShort, ranges);
      EXPECT_EQ(joined, all) << n;
      for (std::uint32_t f = 0; f < files.size(); ++f) {
        const auto last = std::find_if(ranges.rbegin(), ranges.rend(),
                                       [&](const FileRange& r) { return r.file == f; });
        if (files[f].path.ends_with("/b.jsonl")) continue;  // is empty
        ASSERT_NE(last, ranges.rend());
        EXPECT_TRUE(last->end == kToTheEnd || last->end == files[f].n_bytes);
      }
    }
  }
}

TEST(Selection, CutsWhereTheBytesAre) {
  const std::vector<CorpusFile> files{
      {.path = "/a.jsonl", .n_bytes = 100, .format = {.kind = CorpusFormat::Kind::jsonl}},
      {.path = "/b.txt", .n_bytes = 50, .format = {.kind = CorpusFormat::Kind::text}},
      {.path = "/c.jsonl", .n_bytes = 1ull << 62, .format = {.kind = CorpusFormat::Kind::jsonl}}};
  const std::uint64_t total = (1ull << 62) + 150;
  EXPECT_EQ(select_ranges(files, {}, 0, 0, {1, 2}),
            (Ranges{{0, 0, 100}, {1, 0, kToTheEnd}, {2, 0, total / 2 - 150}}));
  EXPECT_EQ(select_ranges(files, {}, 0, 0, {2, 2}), (Ranges{{2, total / 2 - 150, 1ull << 62}}));
}

TEST(Selection, SkipAndLimitCountWithinThePart) {
  TemporaryDirectory d;
  std::string lines;
  for (int i = 0; i < 10; ++i) lines += "{\"text\":\"" + std::to_string(i) + "\"}\n";  // 13 bytes
  d.write("a.jsonl", lines);
  const auto files = list_corpus(testing::short_records(d.path()));
  EXPECT_EQ(select_ranges(files, {}, 1, 2, {2, 2}), (Ranges{{0, 78, 104}}));
  EXPECT_EQ(select_ranges(files, {}, 5, 0, {2, 2}), Ranges{});
}

TEST(Selection, ReadsNoFurtherThanNeeded) {
  const std::vector<CorpusFile> gone{{.path = "/nonexistent/a.txt", .n_bytes = 5},
                                     {.path = "/nonexistent/b.jsonl",
                                      .n_bytes = 5,
                                      .format = {.kind = CorpusFormat::Kind::jsonl}}};
  EXPECT_EQ(select_ranges(gone, {}, 1, 0), (Ranges{{1, 0, 5}}));
  EXPECT_EQ(select_ranges(gone, {}, 0, 1), (Ranges{{0, 0, kToTheEnd}}));
  EXPECT_EQ(select_ranges(gone, {}, 2, 0), Ranges{});  // the unreadable file is one failed record
}

}  // namespace
}  // namespace tovamill
