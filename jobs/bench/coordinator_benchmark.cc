// What the coordinator costs: a simulated run (simulated_cluster.h), and the reading of the
// journals at a restart.
//   coordinator_benchmark [lines|texts|journals] [DOCUMENTS] [WORKERS]
// Without arguments everything: 10 million documents in 200 .jsonl files, 10 million .txt files,
// 1,000 workers of 50,000 tokens per second of which 10 die, and journals of 1 million documents.
// Folders are made below TMPDIR and deleted.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "io/results/journal.h"
#include "jobs/bench/simulated_cluster.h"
#include "pipeline/run_directory/run_directory.h"

namespace {

using namespace tovamill;

class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "coordinator_benchmark.XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot create " + pattern);
    path_ = pattern;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

double megabytes(std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }
double growth(std::uint64_t after, std::uint64_t before) {
  return static_cast<double>(after) - static_cast<double>(before);
}

void simulate(const char* name, SimulatedCorpus corpus, int n_workers) {
  const ScratchDirectory scratch;
  SimulationOptions options;
  options.n_workers = n_workers;
  options.n_deaths = std::min(10, n_workers / 2);
  options.directory = scratch.path();
  const auto n_documents = static_cast<double>(corpus.n_documents);
  const std::size_t n_files = corpus.files.size();
  const SimulationResult r = SimulatedCluster(std::move(corpus), options).run();
  const double messages = static_cast<double>(r.n_received + r.n_sent);
  std::printf("\n| %s: %.0f documents in %zu files, %d workers, %d die | |\n|---|---|\n", name,
              n_documents, n_files, n_workers, options.n_deaths);
  std::printf("| simulated seconds | %.0f |\n", r.simulated_s);
  std::printf("| coordinator, share of a core | %.2f %% |\n", 100.0 * r.cpu_s / r.simulated_s);
  std::printf("| - of it receiving, ticks, showing | %.2f %%, %.2f %%, %.2f %% |\n",
              100.0 * r.receive_s / r.simulated_s, 100.0 * r.tick_s / r.simulated_s,
              100.0 * r.show_s / r.simulated_s);
  std::printf("| messages per second in, out | %.0f, %.0f |\n",
              static_cast<double>(r.n_received) / r.simulated_s,
              static_cast<double>(r.n_sent) / r.simulated_s);
  std::printf("| microseconds per message | %.2f |\n", 1e6 * r.cpu_s / messages);
  std::printf("| longest message (bytes) | %zu |\n", r.most_bytes);
  std::printf("| beginning the run (ms) | %.1f |\n", 1e3 * r.begin_s);
  std::printf("| longest receive, tick, show, turn (ms) | %.2f, %.2f, %.2f, %.2f |\n",
              1e3 * r.longest_receive_s, 1e3 * r.longest_tick_s, 1e3 * r.longest_show_s,
              1e3 * r.longest_iteration_s);
  std::printf("| coordinator's memory begun, at the end (MB) | %.1f, %.1f |\n",
              growth(r.resident_begun, r.resident_before) / 1e6,
              growth(r.resident_end, r.resident_before) / 1e6);
  std::printf("| - bytes per document | %.1f |\n",
              growth(r.resident_begun, r.resident_before) / n_documents);
  std::printf("| workers idle (mean, worst) | %.3f %%, %.2f s |\n", 100.0 * r.idle_share,
              r.longest_idle_s);
  std::fflush(stdout);
}

// A document as a run of a model of 30 layers leaves it, without the counters that nobody reads
// before the merge.
DocumentRecord finished_document(std::uint64_t i, std::uint64_t n_files) {
  DocumentRecord r;
  r.file = "/data/corpora/crawl/lines-" + std::to_string(i % n_files) + ".jsonl";
  r.offset = i / n_files * 5000;
  r.span_begin = r.offset;
  r.span_end = r.offset + 5000;
  r.n_lines = 1;
  r.n_bytes = 4999;
  r.id = "document-" + std::to_string(i);
  r.n_tokens = 1250;
  r.n_scored = 1249;
  r.layers.resize(30);
  for (LayerCounters& layer : r.layers) layer.n_attended = 1000 + i;
  return r;
}

void read_journals(std::uint64_t n_documents) {
  const ScratchDirectory scratch;
  constexpr std::uint64_t n_journals = 20, n_files = 200;
  create_run_directory(scratch.path());
  std::uint64_t n_bytes = 0;
  double append_s = 0.0;
  for (std::uint64_t j = 0; j < n_journals; ++j) {
    const std::string path = journal_path(scratch.path(), static_cast<int>(j), 1);
    JournalWriter writer(path);
    const auto text = std::string(R"({"fingerprint":"f"})");
    writer.append(JournalEntry::header, std::as_bytes(std::span(text)));
    for (std::uint64_t i = j; i < n_documents; i += n_journals) {
      const DocumentRecord r = finished_document(i, n_files);
      const double start = thread_cpu_s();
      writer.append(JournalEntry::document, encode(r));
      append_s += thread_cpu_s() - start;
    }
    n_bytes += std::filesystem::file_size(path);
  }
  const std::uint64_t before = resident_bytes();
  const auto start = std::chrono::steady_clock::now();
  const JournalIndex index = scan_journals(scratch.path());
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double n = static_cast<double>(index.documents.size());
  std::printf("\n| restart: %.0f documents in %zu journals, %.0f MB | |\n|---|---|\n", n,
              index.journals.size(), megabytes(n_bytes));
  std::printf("| reading them (s) | %.2f |\n", seconds);
  std::printf("| - per document (microseconds) | %.2f |\n", 1e6 * seconds / n);
  std::printf("| memory of the index per document (bytes) | %.1f |\n",
              growth(resident_bytes(), before) / n);
  std::printf("| encoding and appending a document, not synced (microseconds) | %.2f |\n",
              1e6 * append_s / n);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string what = argc > 1 ? argv[1] : "";
    const long n = argc > 2 ? std::atol(argv[2]) : 0;
    const int n_workers = argc > 3 ? std::atoi(argv[3]) : 1000;
    const auto documents = static_cast<int>(n > 0 ? n : 10'000'000);
    if (what.empty() || what == "lines")
      simulate("lines", simulated_lines(200, documents / 200), n_workers);
    if (what.empty() || what == "texts") simulate("texts", simulated_texts(documents), n_workers);
    if (what.empty() || what == "journals")
      read_journals(n > 0 ? static_cast<std::uint64_t>(n) : 1'000'000);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 70;
  }
  return 0;
}
