#include "pipeline/results/stream_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "kernels/types/error.h"
#include "pipeline/results/export.h"
#include "pipeline/results/merge.h"
#include "tests/support/error_of.h"
#include "tests/support/runs/synthetic_run.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::contains;
using testing::error_of;
using testing::synthetic_document;
using testing::TemporaryDirectory;
using testing::write_journal;

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::vector<DocumentRecord> documents(int first, int n) {
  std::vector<DocumentRecord> records;
  for (int i = first; i < first + n; ++i)
    records.push_back(synthetic_document(i, {.n_layers = 1, .generations = true}));
  return records;
}

std::vector<std::string> sorted_lines_of(const std::vector<DocumentRecord>& records) {
  std::vector<std::string> lines;
  for (const DocumentRecord& r : records) {
    std::istringstream in(stream_lines(r));
    for (std::string line; std::getline(in, line);) lines.push_back(line);
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::vector<std::string> sorted(std::vector<std::string> lines) {
  std::sort(lines.begin(), lines.end());
  return lines;
}

TEST(StreamFile, HoldsTheObjectsOfTheExport) {
  TemporaryDirectory d;
  auto records = documents(0, 100);
  for (std::size_t i = 0; i < records.size(); ++i) records[i].file = "/x", records[i].offset = i;
  records[1].generations[0].text = std::string("nul \0 in it", 11);
  const std::string path = d.path() / "stream.jsonl";
  StreamFile(path).append(records);
  write_journal(d.path() / "run", 0, 1, records);
  ResultsHeader header;
  header.job = "summarize";
  const std::string run = d.path() / "run";
  const CorpusSummary s = merge_journals(run, scan_journals(run), header);
  std::ostringstream out;
  export_results(s.results_path, {.format = ExportFormat::jsonl}, out);
  EXPECT_EQ(testing::content_of(path), out.str());
}

TEST(StreamFile, LeavesOutALineThatIsNotKnown) {
  DocumentRecord r = synthetic_document(3, {.generations = true});
  r.id.clear();
  r.line = 0;
  r.file = "/a/b.jsonl";
  r.offset = 77;
  json object = json::parse(stream_lines(r));
  EXPECT_EQ(object["id"], "b.jsonl@77");
  EXPECT_FALSE(object.contains("line"));
  r.line = 9;
  object = json::parse(stream_lines(r));
  EXPECT_EQ(object["id"], "b.jsonl:9");
  EXPECT_EQ(object["line"], 9);
  EXPECT_EQ(stream_lines(synthetic_document(1)), "");  // a scored document
}

TEST(StreamFile, TakesLinesOfTwoProcessesAtTheSameTime) {
  TemporaryDirectory d;
  const std::string path = d.path() / "stream.jsonl";
  std::vector<pid_t> children;
  for (int child = 0; child < 2; ++child) {
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid > 0) {
      children.push_back(pid);
      continue;
    }
    int rc = 1;
    try {
      StreamFile file(path);
      const auto records = documents(1000 * child, 1000);
      for (std::size_t i = 0; i < records.size(); i += 5)
        file.append(std::span(records).subspan(i, 5));
      rc = 0;
    } catch (...) {
    }
    _exit(rc);
  }
  for (const pid_t pid : children) {
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(sorted(lines_of(path)), sorted_lines_of(documents(0, 2000)));
}

TEST(StreamFile, CutsOffATornLineOfOursOnly) {
  TemporaryDirectory d;
  const std::string whole = stream_lines(synthetic_document(1, {.generations = true}));
  const std::string torn = stream_lines(synthetic_document(3, {.generations = true}));
  for (std::size_t n : {std::size_t{1}, std::size_t{5}, std::size_t{40}, torn.size() - 1}) {
    const std::string path = d.write("stream.jsonl", whole + torn.substr(0, n));
    const StreamFile file(path);
    EXPECT_EQ(testing::content_of(path), whole) << n;
  }
  const std::string alone = d.write("alone.jsonl", torn.substr(0, 20));
  const StreamFile file(alone);
  EXPECT_EQ(testing::content_of(alone), "");
  const std::string note = d.write("note.txt", "my own\nnote without end");
  const std::string text = error_of([&] { StreamFile{note}; }, ExitCode::configuration);
  EXPECT_TRUE(contains(text, note)) << text;
  EXPECT_EQ(testing::content_of(note), "my own\nnote without end");
}

TEST(StreamFile, AppendsBehindWhatADeadProcessLeft) {
  TemporaryDirectory d;
  const std::string path = d.path() / "stream.jsonl";
  const auto records = documents(0, 2);
  StreamFile file(path);
  file.append(std::span(records).first(1));
  const std::string before = testing::content_of(path);
  // Longer than a block of the search for the last line's end.
  std::ofstream(path, std::ios::app | std::ios::binary)
      << "{\"id\":\"torn" << std::string(200000, 'x');
  file.append(std::span(records).subspan(1));
  EXPECT_EQ(testing::content_of(path), before + stream_lines(records[1]));
  file.append({});
  EXPECT_EQ(testing::content_of(path), before + stream_lines(records[1]));
}

TEST(StreamFile, OpensRegularFilesOnly) {
  TemporaryDirectory d;
  const std::string fifo = d.path() / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  error_of([&] { StreamFile{fifo}; }, ExitCode::cannot_create);
  error_of([&] { StreamFile{d.path() / "none" / "f"}; }, ExitCode::cannot_create);
  error_of([&] { StreamFile{"/dev/null"}; }, ExitCode::cannot_create);
}

// ---- reconciliation ----

struct StreamedRun {
  TemporaryDirectory d;
  std::string path = d.path() / "stream.jsonl", directory = d.path() / "run";
  std::vector<DocumentRecord> records = documents(0, 120);
  std::vector<std::string> wanted = sorted_lines_of(records);

  StreamedRun() { write_journal(directory, 0, 1, records); }
  std::uint64_t reconcile() { return reconcile_stream(path, scan_journals(directory)); }
};

TEST(ReconcileStream, WritesWhatAFileThatWasNotThereLacks) {
  StreamedRun run;
  EXPECT_EQ(run.reconcile(), run.wanted.size());
  EXPECT_EQ(sorted(lines_of(run.path)), run.wanted);
  EXPECT_EQ(run.reconcile(), 0u);
  EXPECT_EQ(sorted(lines_of(run.path)), run.wanted);
}

TEST(ReconcileStream, WritesWhatWasLost) {
  StreamedRun run;
  run.reconcile();
  // Every third line, among them single samples of a document, and a torn tail.
  std::string kept;
  std::uint64_t n_lost = 0;
  const auto all = lines_of(run.path);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i % 3 == 1)
      ++n_lost;
    else
      kept += all[i] + "\n";
  }
  run.d.write("stream.jsonl", kept + all[0].substr(0, all[0].size() / 2));
  EXPECT_EQ(run.reconcile(), n_lost);
  EXPECT_EQ(sorted(lines_of(run.path)), run.wanted);
  EXPECT_EQ(testing::content_of(run.path).rfind(kept, 0), 0u) << "what stood there was touched";
}

TEST(ReconcileStream, CompletesWhatAKilledProcessBegan) {
  StreamedRun run;
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    try {
      StreamFile file(run.path);
      for (std::size_t i = 0;; i = (i + 1) % run.records.size())
        file.append(std::span(run.records).subspan(i, 1));
    } catch (...) {
    }
    _exit(1);
  }
  const auto size = [&] {
    std::error_code not_yet;
    const auto n = std::filesystem::file_size(run.path, not_yet);
    return not_yet ? 0 : n;
  };
  int status = 0;
  while (size() < 20000 && waitpid(pid, &status, WNOHANG) == 0) usleep(100);
  kill(pid, SIGKILL);
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSIGNALED(status));
  run.reconcile();
  auto lines = sorted(lines_of(run.path));
  lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
  EXPECT_EQ(lines, run.wanted);
}

TEST(ReconcileStream, LeavesWhatWasDoneTwice) {
  StreamedRun run;
  run.reconcile();
  StreamFile(run.path).append(std::span(run.records).first(3));
  const auto before = lines_of(run.path);
  EXPECT_EQ(run.reconcile(), 0u);
  EXPECT_EQ(lines_of(run.path), before);
}

TEST(ReconcileStream, RefusesLinesOfOthersAndLeavesThem) {
  StreamedRun run;
  const auto replaced = [](std::string line, const std::string& from, const std::string& to) {
    const std::size_t at = line.find(from);
    EXPECT_NE(at, std::string::npos);
    return line.replace(at, from.size(), to);
  };
  const std::string ours = stream_lines(run.records[0]);
  const std::string line = ours.substr(0, ours.find('\n') + 1);
  const std::string hash = run.records[0].generations[0].prompt_hash;
  for (const std::string& foreign :
       {std::string("hello\n"), std::string("\n"), std::string("{\"id\":\"a\"}\n"),
        std::string("{\"id\":\"") + std::string(100, '[') + "\n",
        replaced(line, "/corpus/", "/other/"), replaced(line, "\"offset\":", "\"offset\":98765"),
        replaced(line, "\"question_index\":0", "\"question_index\":77"),
        replaced(line, "\"sample\":0", "\"sample\":-1"),
        replaced(line, hash, "ffff" + hash.substr(4)), std::string(3u << 20, 'x') + "\n"}) {
    run.d.write("stream.jsonl", ours + foreign);
    SCOPED_TRACE(foreign.substr(0, 200));
    const std::string text = error_of([&] { run.reconcile(); }, ExitCode::configuration);
    EXPECT_TRUE(contains(text, run.path) && contains(text, "remove the file")) << text;
    EXPECT_TRUE(testing::content_of(run.path).starts_with(ours + foreign));
  }
}

TEST(ReconcileStream, KnowsFilesWhoseNamesAreNotUtf8) {
  StreamedRun run;
  run.records = documents(0, 5);
  for (std::size_t i = 0; i < run.records.size(); ++i)
    run.records[i].file = "/x\xff.jsonl", run.records[i].offset = i;
  run.directory = run.d.path() / "other";
  write_journal(run.directory, 0, 1, run.records);
  EXPECT_GT(run.reconcile(), 0u);
  EXPECT_EQ(run.reconcile(), 0u);
}

TEST(ReconcileStream, PassesOverASecondPlaceWhereAFileBrokeOff) {
  StreamedRun run;
  DocumentRecord broken = synthetic_document(3, {.generations = true});
  broken.file = "/y.jsonl.gz";
  broken.n_lines = 1;
  broken.span_end = UINT64_MAX;
  std::vector<DocumentRecord> places{broken, broken};
  places[0].offset = 100, places[1].offset = 50;
  run.directory = run.d.path() / "other";
  write_journal(run.directory, 0, 1, places);
  StreamFile(run.path).append(places);
  EXPECT_EQ(run.reconcile(), 0u);
  EXPECT_EQ(lines_of(run.path).size(), 2u);
}

}  // namespace
}  // namespace tovamill
