#include "workers/run/run_inputs.h"

#include <sys/stat.h>

#include <algorithm>
#include <ctime>

#include "kernels/types/error.h"
#include "kernels/types/format.h"

namespace tovamill {
namespace {

constexpr std::size_t kMostNamed = 5;

std::string first_of(const std::vector<std::string>& all) {
  std::string text;
  for (std::size_t i = 0; i < std::min(all.size(), kMostNamed); ++i)
    text += (i == 0 ? "" : "; ") + all[i];
  if (all.size() > kMostNamed) text += "; and " + with_thousands(all.size() - kMostNamed) + " more";
  return text;
}

std::int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

// The same file as it was inspected, as far as its size and times tell.
bool is_as_inspected(const InputFile& input) {
  struct stat s {};
  return stat(input.path.c_str(), &s) == 0 &&
         static_cast<std::uint64_t>(s.st_size) == input.n_bytes &&
         s.st_mtim.tv_sec * 1'000'000'000 + s.st_mtim.tv_nsec == input.modified_ns;
}

}  // namespace

RunInputs check_inputs(const RunOptions& options, std::span<const CorpusFile> files,
                       const std::string& left_out, const JournalIndex& earlier) {
  const RunInputs recorded = read_inputs(options.out);
  const std::int64_t begun_ns = now_ns();
  RunInputs now{.files = inspect_inputs(files, begun_ns),
                .model = inspect_model(options.model, begun_ns),
                .left_out = left_out};
  if (recorded.files.empty()) {
    if (earlier.documents.empty()) return now;
    throw Error(ExitCode::configuration,
                inputs_path(options.out) +
                    ", which says what the finished documents were read from, is not there: "
                    "restore it, give another --out, or --overwrite");
  }
  if (const auto changed = changed_files(recorded.model, now.model); !changed.empty())
    throw Error(ExitCode::configuration,
                options.out + ": the model is not the one that this run has begun with: " +
                    first_of(changed) + ": restore it, give another --out, or --overwrite");
  InputComparison c = compare_inputs(recorded.files, files, std::move(now.files), earlier);
  std::vector<std::string> refused = c.changed;
  if (!options.accept_appended) refused.insert(refused.end(), c.appended.begin(), c.appended.end());
  if (!refused.empty())
    throw Error(ExitCode::configuration,
                options.out + ": the corpus is not the one that this run has begun to read: " +
                    first_of(refused) + ": restore it, give another --out, or --overwrite" +
                    (c.changed.empty() ? "; --accept-appended reads what was added" : ""));
  now.files = std::move(c.now);
  return now;
}

void record_digests(const std::string& run_directory, RunInputs inputs,
                    const std::atomic<bool>& stops) {
  bool is_new = false;
  for (std::vector<InputFile>* files : {&inputs.model, &inputs.files}) {
    for (InputFile& input : *files) {
      if (stops) break;
      if (input.digest) continue;
      input.digest = content_digest(input, input.n_bytes);
      if (input.digest && !is_as_inspected(input)) input.digest.reset();
      is_new = is_new || input.digest;
    }
  }
  if (is_new) write_inputs(run_directory, inputs);
}

std::string changes_since(std::span<const InputFile> inputs) {
  std::vector<std::string> changed;
  for (const InputFile& input : inputs) {
    if (!is_as_inspected(input)) changed.push_back(input.path);
  }
  return changed.empty() ? "" : "the corpus has changed while it was read: " + first_of(changed);
}

}  // namespace tovamill
