// The corpus files of a run as its first start found them (journal/inputs.log), and whether they
// are still so when it is continued.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/corpus/corpus.h"
#include "pipeline/run_directory/run_directory.h"

namespace tovamill {

struct InputFile {
  std::string path;  // absolute
  std::uint64_t n_bytes = 0;
  std::int64_t modified_ns = 0;  // since 1970
  std::int64_t changed_ns = 0;   // of the inode: no program sets it back; or kUnsettled
  std::optional<std::uint32_t> digest;
  bool is_weights = false;  // of the model: the digest is of all bytes, however many

  bool operator==(const InputFile&) const = default;
};

struct RunInputs {
  std::vector<InputFile> files;  // of the corpus, in the order of paths
  std::vector<InputFile> model;  // that hold its weights
  std::string left_out;          // LeftOut::text of the corpus

  bool operator==(const RunInputs&) const = default;
};

// Of a file that changed so shortly before it was inspected that it may change once more within the
// same tick of its file system's clock (2 s on FAT): times do not tell, the digest decides.
inline constexpr std::int64_t kUnsettled = 0;
inline constexpr std::int64_t kClockTickNs = 2'000'000'000;

// The files as they are now, in their order, without digests. `now_ns`: since 1970. Throws
// Error(no_input).
std::vector<InputFile> inspect_inputs(std::span<const CorpusFile> files, std::int64_t now_ns);

// The files of a model's weights: itself, or those of a directory; none of a model made in memory.
std::vector<InputFile> inspect_model(const std::string& model, std::int64_t now_ns);

// CRC-32C of the first `n_bytes` of a file: of all of them up to 16 MiB and of weights, which a run
// reads anyway, else of the first and last MiB. Nothing where the file cannot be read or is
// shorter.
std::optional<std::uint32_t> content_digest(const InputFile& input, std::uint64_t n_bytes);

std::string inputs_path(const std::string& run_directory);
// Empty where nothing is recorded. Throws BadData naming the file where it
// is damaged: it is written whole or not at all.
RunInputs read_inputs(const std::string& run_directory);
// Durable when it returns. Throws Error(io or cannot_create).
void write_inputs(const std::string& run_directory, const RunInputs& inputs);

// What recorded and present files have in common.
struct InputComparison {
  std::vector<std::string> changed;   // "/a.jsonl has become shorter (10 bytes, was 20)"
  std::vector<std::string> appended;  // the same of those that only grew by records, or are new
  std::vector<InputFile> now;         // as found, with the digests that still hold
};
// `files` belong to `found`. Reads contents only where size or times differ. `earlier`: what the
// run has read of them.
InputComparison compare_inputs(std::span<const InputFile> recorded,
                               std::span<const CorpusFile> files, std::vector<InputFile> found,
                               const JournalIndex& earlier);

// What has become of files of the same path, for people; those that are the same take over the
// digests.
std::vector<std::string> changed_files(std::span<const InputFile> recorded,
                                       std::vector<InputFile>& found);

// Throws Error(configuration) naming the first file that two of the run directories have on record
// with another size or content.
void check_same_inputs(std::span<const std::string> run_directories);

}  // namespace tovamill
