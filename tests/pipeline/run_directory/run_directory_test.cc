#include "pipeline/run_directory/run_directory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <span>

#include "io/results/journal.h"
#include "kernels/types/error.h"
#include "pipeline/results/run_set.h"
#include "pipeline/run_directory/journal_entries.h"
#include "pipeline/run_directory/journal_review.h"
#include "tests/support/runs/synthetic_run.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::synthetic_document;
using testing::TemporaryDirectory;
using testing::write_journal;

TEST(RunDirectory, NumbersLaunchesUpwards) {
  TemporaryDirectory d;
  const std::string run = d.path() / "run";
  EXPECT_EQ(next_launch(run), 1);
  create_run_directory(run);
  create_run_directory(run);
  EXPECT_EQ(next_launch(run), 1);
  write_journal(run, 0, 1, {});
  write_journal(run, 12, 9, {});
  EXPECT_EQ(next_launch(run), 10);
  for (const char* other :
       {"run/journal/1-99.log.bak", "run/journal/x-99.log", "run/journal/-99.log",
        "run/journal/1-.log", "run/journal/+1-99.log", "run/journal/99.log"})
    d.write(other, "x");
  EXPECT_EQ(next_launch(run), 10);
  EXPECT_EQ(scan_journals(run).journals.size(), 2u);
}

TEST(RunDirectory, ThatCannotBeMadeSaysSo) {
  TemporaryDirectory d;
  const std::string file = d.write("file", "x");
  try {
    create_run_directory(file);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::cannot_create);
  }
  EXPECT_THROW(scan_journals(d.path() / "none"), Error);
  EXPECT_TRUE(scan_journals(d.path()).documents.empty());
}

TEST(Scan, OrdersDocumentsByFileAndOffset) {
  TemporaryDirectory d;
  std::vector<DocumentRecord> records;
  for (int i = 0; i < 100; ++i) records.push_back(synthetic_document(i));
  write_journal(d.path(), 1, 1, {records.begin() + 50, records.end()});
  write_journal(d.path(), 0, 1, {records.rbegin() + 50, records.rend()});
  const JournalIndex index = scan_journals(d.path());
  ASSERT_EQ(index.documents.size(), 100u);
  EXPECT_TRUE(std::is_sorted(index.files.begin(), index.files.end()));
  EXPECT_TRUE(std::is_sorted(index.documents.begin(), index.documents.end(), [](auto& a, auto& b) {
    return std::pair(a.file, a.offset) < std::pair(b.file, b.offset);
  }));
  EXPECT_EQ(index.n_failed, 10u);
  std::uint64_t n_tokens = 0;
  for (const DocumentRecord& r : records) {
    n_tokens += r.n_tokens;
    EXPECT_TRUE(index.contains(r.file, r.offset));
    EXPECT_FALSE(index.contains(r.file, r.offset + 1));
    EXPECT_FALSE(index.contains(r.file + "x", r.offset));
  }
  EXPECT_EQ(index.n_tokens, n_tokens);
  for (const DocumentLocation& at : index.documents) {
    JournalReader reader(index.journals[at.journal].path);
    reader.read(at.position);
    const RecordKey key = decode_key(reader.payload(), "");
    EXPECT_EQ(key.file, index.files[at.file]);
    EXPECT_EQ(key.offset, at.offset);
  }
}

TEST(Scan, KeepsTheFirstOfDoubles) {
  TemporaryDirectory d;
  const DocumentRecord r = synthetic_document(1);
  write_journal(d.path(), 0, 10, {r});
  write_journal(d.path(), 3, 2, {r, r});
  write_journal(d.path(), 1, 2, {synthetic_document(2), r});
  const JournalIndex index = scan_journals(d.path());
  ASSERT_EQ(index.documents.size(), 2u);
  ASSERT_EQ(index.journals.size(), 3u);
  EXPECT_EQ(index.journals[0].launch, 2);
  EXPECT_EQ(index.journals[0].rank, 1);
  EXPECT_EQ(index.documents[0].journal, 0u);
  EXPECT_EQ(index.documents[1].journal, 0u);
  EXPECT_EQ(index.n_tokens, r.n_tokens + synthetic_document(2).n_tokens);
  EXPECT_EQ(index.journals[1].n_documents, 2u);  // what the worker did counts in /run
}

TEST(Scan, ReadsHeadersAndFootersAndIgnoresTornTails) {
  TemporaryDirectory d;
  write_journal(d.path(), 0, 1, {synthetic_document(1)});
  write_journal(d.path(), 1, 1, {synthetic_document(2)}, true);
  write_journal(d.path(), 2, 1, {}, true);
  std::ofstream(journal_path(d.path(), 1, 1), std::ios::app) << "TVJ1 torn";
  std::filesystem::resize_file(journal_path(d.path(), 2, 1), 7);
  const JournalIndex index = scan_journals(d.path());
  ASSERT_EQ(index.journals.size(), 3u);
  EXPECT_NE(index.journals[0].header.find("node0"), std::string::npos);
  EXPECT_NE(index.journals[0].footer.find("seconds_computing"), std::string::npos);
  EXPECT_EQ(index.journals[0].n_ignored, 0u);
  EXPECT_EQ(index.journals[1].footer, "");
  EXPECT_EQ(index.journals[1].n_ignored, 9u);
  EXPECT_EQ(index.journals[2].header, "");
  EXPECT_EQ(index.journals[2].n_ignored, 7u);
  EXPECT_EQ(index.documents.size(), 2u);
}

// ---- what was begun, what is done ----

std::span<const std::byte> bytes_of(std::string_view s) { return std::as_bytes(std::span(s)); }

DocumentRecord document_at(std::uint64_t begin, std::uint64_t end) {
  DocumentRecord r = synthetic_document(1);
  r.file = "/c/x.jsonl";
  r.offset = r.span_begin = begin;
  r.span_end = end;
  r.n_lines = 1;
  return r;
}

enum class End { footer, crash, none };

// Begins the documents at `begun`, finishes those at `finished` (10 bytes each).
void write_worker(const std::string& run, int rank, const std::vector<std::uint64_t>& begun,
                  const std::vector<std::uint64_t>& finished, End end) {
  create_run_directory(run);
  JournalWriter writer(journal_path(run, rank, 1));
  writer.append(JournalEntry::header, bytes_of("{}"));
  for (const std::uint64_t at : begun)
    writer.append(JournalEntry::begun, encode(BegunEntry{"/c/x.jsonl", at}));
  for (const std::uint64_t at : finished)
    writer.append(JournalEntry::document, encode(document_at(at, at + 10)));
  if (end == End::footer) writer.append(JournalEntry::footer, bytes_of("{}"));
  if (end == End::crash) writer.append(JournalEntry::crash, encode(CrashEntry{"signal 11"}));
}

TEST(Scan, SuspectsWhatWasBegunAndFinishedByNobody) {
  TemporaryDirectory d;
  write_worker(d.path(), 0, {0, 10, 20}, {0}, End::crash);
  write_worker(d.path(), 1, {10, 30}, {}, End::none);
  write_worker(d.path(), 2, {10, 20}, {20}, End::crash);
  write_worker(d.path(), 3, {40}, {}, End::footer);  // stopped in good order
  const JournalIndex index = scan_journals(d.path());
  EXPECT_EQ(index.suspects, (std::vector<Suspect>{{.offset = 10, .n_crashes = 2, .n_deaths = 1},
                                                  {.offset = 30, .n_crashes = 0, .n_deaths = 1}}));
  EXPECT_EQ(index.journals[0].crash, "signal 11");
  EXPECT_EQ(index.journals[0].n_begun, 3u);
  EXPECT_EQ(index.journals[1].crash, "");
}

TEST(Scan, KnowsWhichBytesAreDone) {
  TemporaryDirectory d;
  write_worker(d.path(), 0, {}, {0, 10, 40}, End::footer);
  write_worker(d.path(), 1, {}, {10, 20}, End::footer);
  {
    JournalWriter writer(journal_path(d.path(), 2, 1));
    writer.append(JournalEntry::span, encode(SpanEntry{"/c/x.jsonl", 50, 60, 3}));
    writer.append(JournalEntry::span, encode(SpanEntry{"/c/a.jsonl", 0, UINT64_MAX, 0}));
  }
  const JournalIndex index = scan_journals(d.path());
  EXPECT_EQ(index.files, (std::vector<std::string>{"/c/a.jsonl", "/c/x.jsonl"}));
  EXPECT_EQ(index.done_of("/c/x.jsonl").spans(), (std::vector<Span>{{0, 30}, {40, 60}}));
  EXPECT_EQ(index.done_of("/c/a.jsonl").spans(), (std::vector<Span>{{0, UINT64_MAX}}));
  EXPECT_TRUE(index.done_of("/c/other").empty());
  EXPECT_EQ(index.line_spans, (std::vector<LineSpan>{{0, 0, UINT64_MAX, 0}, {1, 50, 60, 3}}));
  EXPECT_EQ(index.documents.size(), 4u);
}

TEST(Scan, ReadsSeveralRunDirectoriesEachOnce) {
  TemporaryDirectory d;
  const std::string a = d.path() / "a", b = d.path() / "b";
  write_journal(a, 0, 1, {synthetic_document(1)});
  write_journal(b, 0, 1, {synthetic_document(2)});
  const JournalIndex index = scan_journals(std::vector<std::string>{b, a, a + "/../b/"});
  EXPECT_EQ(index.documents.size(), 2u);
  ASSERT_EQ(index.run_directories.size(), 2u);
  ASSERT_EQ(index.journals.size(), 2u);
  EXPECT_EQ(index.journals[1].run_directory, 1u);
  EXPECT_THROW(scan_journals(std::vector<std::string>{a, d.path() / "none"}), Error);
}

TEST(Review, TellsWhatADeadWorkerLeft) {
  TemporaryDirectory d;
  write_worker(d.path(), 5, {30, 0, 10, 20}, {0, 20}, End::crash);
  std::ofstream(journal_path(d.path(), 5, 1), std::ios::app) << "torn";
  std::vector<std::uint64_t> visited;
  const JournalReview review =
      review_journal(journal_path(d.path(), 5, 1),
                     [&](const RecordKey& key, std::uint64_t) { visited.push_back(key.offset); });
  EXPECT_EQ(visited, (std::vector<std::uint64_t>{0, 20}));
  ASSERT_EQ(review.files, std::vector<std::string>{"/c/x.jsonl"});
  EXPECT_EQ(review.done[0].spans(), (std::vector<Span>{{0, 10}, {20, 30}}));
  EXPECT_EQ(review.unfinished, (std::vector<BegunEntry>{{"/c/x.jsonl", 30}, {"/c/x.jsonl", 10}}));
  EXPECT_EQ(review.crash, "signal 11");
  EXPECT_EQ(review.footer, "");
  EXPECT_EQ(review.n_begun, 4u);
  EXPECT_EQ(review.n_documents, 2u);
  EXPECT_EQ(review.n_failed, 0u);
  EXPECT_EQ(review.n_tokens, 2 * synthetic_document(1).n_tokens);
  EXPECT_EQ(review.n_ignored, 4u);
  EXPECT_THROW(review_journal(d.path() / "none"), Error);
}

// ---- several runs as one ----

void write_run(const std::string& run, const std::string& print, bool complete = true) {
  create_run_directory(run);
  JournalWriter writer(journal_path(run, 0, 1));
  writer.append(JournalEntry::header, bytes_of("{\"fingerprint\":" + print + "}"));
  writer.append(JournalEntry::footer, bytes_of(complete ? "{\"complete\":true}" : "{}"));
}

ResultsHeader header_of(const std::vector<std::string>& runs) {
  const JournalIndex index = scan_journals(runs);
  check_mergeable(index);
  return results_header(index);
}

TEST(RunSet, OfOtherOptionsIsRefusedByName) {
  TemporaryDirectory d;
  const std::string a = d.path() / "a", b = d.path() / "b", c = d.path() / "c";
  write_run(a, R"({"policy":"tova","cache-size":"512","corpus":["/x"],"limit":"0"})");
  write_run(b, R"({"policy":"tova","cache-size":"256","corpus":["/y"],"limit":"7"})");
  write_run(c, R"({"policy":"tova","cache-size":"512","corpus":["/y"],"limit":"7"})");
  try {
    header_of({a, b});
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::configuration);
    const std::string text = e.what();
    EXPECT_NE(text.find("--cache-size is 512 and 256"), std::string::npos) << text;
    EXPECT_EQ(text.find("--limit"), std::string::npos) << text;
    EXPECT_NE(text.find(journal_path(b, 0, 1)), std::string::npos) << text;
  }
  EXPECT_EQ(header_of({a, c}).fingerprint,
            R"({"cache-size":"512","corpus":["/x","/y"],"limit":["0","7"],"policy":"tova"})");
}

TEST(RunSet, IsOfOneJob) {
  TemporaryDirectory d;
  const std::string old = d.path() / "old", score = d.path() / "score", qa = d.path() / "qa";
  const auto write_header = [](const std::string& run, const std::string& header) {
    create_run_directory(run);
    JournalWriter(journal_path(run, 0, 1)).append(JournalEntry::header, bytes_of(header));
  };
  write_header(old, R"({"fingerprint":{}})");
  write_header(score, R"({"fingerprint":{},"job":"score"})");
  write_header(qa, R"({"fingerprint":{},"job":"generate"})");
  EXPECT_EQ(header_of({old}).job, "score");
  EXPECT_EQ(header_of({old, score}).job, "score");
  EXPECT_EQ(header_of({qa}).job, "generate");
  try {
    header_of({score, qa});
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::configuration);
    EXPECT_NE(std::string(e.what()).find("only runs of the same job"), std::string::npos)
        << e.what();
  }
}

TEST(RunSet, IsCompleteWithAllParts) {
  TemporaryDirectory d;
  std::vector<std::string> runs;
  for (int i = 1; i <= 3; ++i) {
    runs.push_back(d.path() / std::to_string(i));
    write_run(runs.back(), R"({"corpus":["/b","/a"],"part":")" + std::to_string(i) + "/3\"}");
  }
  EXPECT_TRUE(header_of(runs).complete);
  EXPECT_EQ(header_of(runs).fingerprint, R"({"corpus":["/b","/a"],"part":"1/1"})");
  EXPECT_FALSE(header_of({runs[0], runs[2]}).complete);
  EXPECT_EQ(header_of({runs[0], runs[2]}).fingerprint,
            R"({"corpus":["/b","/a"],"part":["1/3","3/3"]})");
  EXPECT_TRUE(header_of({runs[1]}).complete);
  const std::string unfinished = d.path() / "unfinished";
  write_run(unfinished, R"({"corpus":["/c"],"part":"1/1"})", false);
  EXPECT_FALSE(header_of({runs[0], runs[1], runs[2], unfinished}).complete);
}

}  // namespace
}  // namespace tovamill
