#include "pipeline/run_directory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "io/journal.h"
#include "kernels/error.h"
#include "tests/support/synthetic_run.h"
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

}  // namespace
}  // namespace tovamill
