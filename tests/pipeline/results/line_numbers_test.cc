// Results do not depend on how the corpus was cut among workers, on what died, or on what was done
// twice: line numbers and default ids included.
#include "pipeline/results/line_numbers.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "io/corpus/record_reader.h"
#include "io/results/journal.h"
#include "pipeline/results/merge.h"
#include "pipeline/run_directory/journal_entries.h"
#include "tests/support/compress.h"
#include "tests/support/models/random_corpus.h"
#include "tests/support/runs/results_text.h"
#include "tests/support/runs/synthetic_run.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::random_jsonl;
using testing::random_ranges;
using testing::TemporaryDirectory;
namespace fs = std::filesystem;

const CorpusOptions kOptions = testing::short_records();

// What a worker would write of a record: a function of the record's text and place alone.
DocumentRecord scored(const CorpusRecord& r) {
  const bool ok = r.ok();
  DocumentRecord d =
      testing::synthetic_document(static_cast<int>(r.offset % 500) * 10 + (ok ? 1 : 3));
  d.id = r.id;
  d.file = r.file;
  d.line = r.line;
  d.offset = r.offset;
  d.span_begin = r.span_begin;
  d.span_end = r.span_end;
  d.n_lines = r.n_lines;
  d.failure_reason = r.failure_reason;
  d.failure_text = r.failure_text;
  return d;
}

// The journals of one run directory, by (rank, launch).
class Journals {
 public:
  explicit Journals(const std::string& run) : run_(run) { create_run_directory(run); }

  JournalWriter& at(int rank, int launch) {
    auto& writer = writers_[{rank, launch}];
    if (!writer) writer = std::make_unique<JournalWriter>(journal_path(run_, rank, launch));
    return *writer;
  }

  // Reads a range and writes it, its documents up to `n_most` and only then what is left over.
  void score(const CorpusFile& file, CorpusRange range, int rank, int launch,
             std::size_t n_most = SIZE_MAX) {
    const auto records = open_records(file, kOptions, range);
    CorpusRecord record;
    for (; n_most > 0 && records->next(record); --n_most)
      at(rank, launch).append(JournalEntry::document, encode(scored(record)));
    if (n_most == 0) return;
    const CorpusSpan rest = records->rest();
    if (!rest.empty())
      at(rank, launch)
          .append(JournalEntry::span,
                  encode(SpanEntry{file.path, rest.begin, rest.end, rest.n_lines}));
  }

 private:
  std::string run_;
  std::map<std::pair<int, int>, std::unique_ptr<JournalWriter>> writers_;
};

std::string merged_text(const std::string& run) {
  merge_journals(run, scan_journals(run), {});
  return testing::results_text(results_path(run));
}

// Three plain files, a compressed one of each kind, two texts.
std::vector<CorpusFile> make_corpus(const TemporaryDirectory& d, std::mt19937& random) {
  for (const char* name : {"corpus/a.jsonl", "corpus/b.jsonl", "corpus/c.jsonl"})
    d.write(name, random_jsonl(random, 10 + static_cast<int>(random() % 60)));
  d.write("corpus/d.jsonl.gz", testing::gzip(random_jsonl(random, 40)));
  d.write("corpus/e.jsonl.zst", testing::zstd(random_jsonl(random, 40)));
  d.write("corpus/f.jsonl.xz", testing::xz(random_jsonl(random, 40)));
  d.write("corpus/f.jsonl.bz2", testing::bzip2(random_jsonl(random, 40)));
  d.write("corpus/f.txt", "a text\n");
  d.write("corpus/g.txt", "");
  return list_corpus(testing::short_records(d.path() / "corpus"));
}

std::uint64_t text_bytes(const CorpusFile& file) {
  std::uint64_t n = 0;
  const auto records = open_records(file, kOptions);
  for (CorpusSpan span; records->skip(span);) n = span.end;
  return n == kToTheEnd ? 100 : n;
}

std::string whole_run(const TemporaryDirectory& d, const std::vector<CorpusFile>& files) {
  const std::string run = d.path() / "whole";
  Journals whole(run);
  for (const CorpusFile& file : files) whole.score(file, {}, 0, 1);
  return merged_text(run);
}

TEST(LineNumbers, AreThoseOfTheFileWhateverTheCuts) {
  std::mt19937 random(21);
  for (int round = 0; round < 25; ++round) {
    SCOPED_TRACE(round);
    TemporaryDirectory d;
    const auto files = make_corpus(d, random);
    const std::string expected = whole_run(d, files);
    const std::string run = d.path() / "cut";
    {
      Journals cut(run);
      // Some of it several times over, differently cut, by whatever rank and launch; some workers
      // died on the way.
      for (const CorpusFile& file : files) {
        for (unsigned times = random() % 3; times > 0; --times) {
          for (const CorpusRange& range : random_ranges(random, text_bytes(file)))
            if (random() % 3 != 0)
              cut.score(file, range, static_cast<int>(random() % 4),
                        1 + static_cast<int>(random() % 3), random() % 5);
        }
      }
      // What is missing then, as a coordinator would hand it out.
      const JournalIndex index = scan_journals(run);
      for (const CorpusFile& file : files) {
        for (const Span& gap : index.done_of(file.path).missing(0, kToTheEnd))
          cut.score(file, {gap.begin, gap.end}, static_cast<int>(random() % 4), 4);
      }
      EXPECT_TRUE(scan_journals(run).done_of(files[0].path).missing(0, kToTheEnd).empty());
    }
    // The journals know it all: the corpus itself is not looked at.
    fs::rename(d.path() / "corpus", d.path() / "away");
    EXPECT_TRUE(merged_text(run) == expected);
    if (std::system("h5diff --version >/dev/null 2>&1") == 0) {
      const std::string command = "h5diff --exclude-path /run --exclude-attribute /created " +
                                  results_path(run) + " " + results_path(d.path() / "whole") +
                                  " >/dev/null";
      EXPECT_EQ(std::system(command.c_str()), 0);
    }
    if (HasFailure()) return;
  }
}

std::vector<std::uint64_t> lines_of(const std::string& run) {
  return line_numbers(scan_journals(run));
}

TEST(LineNumbers, AreCountedInTheFileWhereTheJournalsLeaveGaps) {
  std::mt19937 random(22);
  for (int round = 0; round < 20; ++round) {
    TemporaryDirectory d;
    const auto files = make_corpus(d, random);
    whole_run(d, files);
    std::map<std::pair<std::string, std::uint64_t>, std::uint64_t> expected;
    for (const CorpusFile& file : files) {
      const auto records = open_records(file, kOptions);
      for (CorpusRecord r; records->next(r);) expected[{r.file, r.offset}] = r.line;
    }
    const std::string run = d.path() / "part";
    {
      Journals part(run);
      part.at(0, 1);
      for (const CorpusFile& file : files) {
        for (const CorpusRange& range : random_ranges(random, text_bytes(file)))
          if (random() % 2 == 0) part.score(file, range, 0, 1, random() % 6);
      }
    }
    const JournalIndex index = scan_journals(run);
    const std::vector<std::uint64_t> lines = line_numbers(index);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const DocumentLocation& at = index.documents[i];
      EXPECT_EQ(lines[i], (expected.at({index.files[at.file], at.offset})));
    }
  }
}

const std::string kLines = "{\"text\":\"a\"}\n\n\n\n\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n";

TEST(LineNumbers, SurviveAZombieWhoseRangeWasCutElsewhere) {
  // b at byte 17 has the blank lines 13 to 16 in front; some count them all, some only a few.
  for (const bool zombie_first : {false, true}) {
    TemporaryDirectory d;
    const CorpusFile file = *corpus_file_at(d.write("x.jsonl", kLines));
    const std::string run = d.path() / "run";
    {
      Journals journals(run);
      journals.score(file, {0, 10}, 0, 1);
      journals.score(file, {10, kToTheEnd}, zombie_first ? 1 : 2, 1, 1);  // b alone, with 4 blanks
      journals.score(file, {15, kToTheEnd}, zombie_first ? 2 : 1, 1);     // b with 2, and c
    }
    fs::remove(file.path);
    EXPECT_EQ(lines_of(run), (std::vector<std::uint64_t>{1, 6, 7})) << zombie_first;
  }
}

TEST(LineNumbers, JoinBlankLinesThatSeveralWorkersAccountedFor) {
  TemporaryDirectory d;
  const CorpusFile file = *corpus_file_at(d.write("x.jsonl", kLines));
  const std::string run = d.path() / "run";
  {
    Journals journals(run);
    for (const CorpusRange& range :
         std::vector<CorpusRange>{{0, 16}, {0, 14}, {14, 15}, {15, kToTheEnd}})
      journals.score(file, range, 0, 1);
  }
  fs::remove(file.path);
  EXPECT_EQ(lines_of(run), (std::vector<std::uint64_t>{1, 6, 7}));
}

TEST(LineNumbers, AreZeroWhereNothingKnowsThemAnyMore) {
  TemporaryDirectory d;
  const CorpusFile file = *corpus_file_at(d.write("x.jsonl", kLines));
  const std::string run = d.path() / "run";
  {
    Journals journals(run);
    journals.score(file, {18, kToTheEnd}, 0, 1);
  }
  EXPECT_EQ(lines_of(run), std::vector<std::uint64_t>{7});
  EXPECT_NE(merged_text(run).find("x.jsonl:7|"), std::string::npos);
  fs::remove(file.path);
  EXPECT_EQ(lines_of(run), std::vector<std::uint64_t>{0});
  EXPECT_NE(merged_text(run).find("x.jsonl@30|"), std::string::npos);
}

TEST(LineNumbers, GoOnBehindAFailureOfTheFile) {
  TemporaryDirectory d;
  const CorpusFile file = *corpus_file_at(d.write("x.jsonl", kLines));
  const std::string run = d.path() / "run";
  CorpusRecord broken;
  broken.file = file.path;
  broken.span_end = kToTheEnd;
  broken.n_lines = 1;
  broken.failure_reason = "unreadable";
  {
    Journals journals(run);
    journals.at(0, 1).append(JournalEntry::document, encode(scored(broken)));
    journals.score(file, {18, kToTheEnd}, 1, 1);
    broken.offset = broken.span_begin = 20;  // a second worker met the same
    journals.at(2, 1).append(JournalEntry::document, encode(scored(broken)));
  }
  EXPECT_EQ(lines_of(run), (std::vector<std::uint64_t>{1, 7}));
  EXPECT_EQ(scan_journals(run).n_failed, 1u);
}

}  // namespace
}  // namespace tovamill
