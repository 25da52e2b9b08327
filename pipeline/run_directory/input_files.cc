#include "pipeline/run_directory/input_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <map>

#include "io/files/durable.h"
#include "io/files/file_descriptor.h"
#include "io/files/little_endian.h"
#include "io/results/journal.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"

namespace tovamill {
namespace {

constexpr std::uint64_t kWholeBytes = 16u << 20, kEndBytes = 1u << 20;

std::int64_t nanoseconds(const timespec& t) {
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

std::string time_text(std::int64_t ns) {
  const auto seconds = static_cast<std::time_t>(ns / 1'000'000'000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &utc);
  char fraction[16];
  std::snprintf(fraction, sizeof fraction, ".%09d", static_cast<int>(ns % 1'000'000'000));
  return std::string(text) + fraction + " UTC";
}

// Adds bytes [begin, end) of a file; false where they are not there.
bool add_bytes(int file, std::uint64_t begin, std::uint64_t end, std::uint32_t& crc) {
  std::vector<std::byte> buffer(std::min<std::uint64_t>(end - begin, 1u << 18));
  while (begin < end) {
    const ssize_t n =
        pread(file, buffer.data(), std::min<std::uint64_t>(end - begin, buffer.size()),
              static_cast<off_t>(begin));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    crc = crc32c(std::span(buffer).first(static_cast<std::size_t>(n)), crc);
    begin += static_cast<std::uint64_t>(n);
  }
  return true;
}

bool is_newline(const std::string& path, std::uint64_t at) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char byte = 0;
  return file.get() >= 0 && pread(file.get(), &byte, 1, static_cast<off_t>(at)) == 1 &&
         byte == '\n';
}

// Why records that were added behind the first `n_bytes` cannot be told from what was there, of
// which `done` is accounted for.
std::string why_not_appendable(const CorpusFile& file, std::uint64_t n_bytes, const SpanSet& done) {
  if (file.format.is_one_record()) return "it is one document";
  if (file.format.division() != Division::bytes) return "it is read as a whole";
  if (done.contains(kToTheEnd - 1)) return "an earlier start accounted for all behind its end";
  if (n_bytes == 0 || is_newline(file.path, n_bytes - 1)) return "";
  // A last line that has only got its newline is the record that it was.
  const bool is_same_line =
      is_newline(file.path, n_bytes) && done.contains(n_bytes) == done.contains(n_bytes - 1);
  return is_same_line ? "" : "its last line was not finished";
}

std::string bytes_text(const InputFile& was, const InputFile& is) {
  return " (" + with_thousands(is.n_bytes) + " bytes, was " + with_thousands(was.n_bytes) + ")";
}

enum class Fate { same, grown, changed };

// How a file that is on record has become what it is; `text` where it is not the same.
Fate fate_of(const InputFile& was, const InputFile& is, std::string& text) {
  const bool same_size = was.n_bytes == is.n_bytes, same_time = was.modified_ns == is.modified_ns;
  const bool is_settled = was.changed_ns != kUnsettled;
  if (same_size && same_time && is_settled && was.changed_ns == is.changed_ns) return Fate::same;
  if (is.n_bytes < was.n_bytes) {
    text = is.path + " has become shorter" + bytes_text(was, is);
    return Fate::changed;
  }
  const bool same_content =
      was.digest ? content_digest(is, was.n_bytes) == was.digest : same_size && same_time;
  if (!same_content) {
    text = is.path + " has changed" +
           (same_size ? " (" + with_thousands(is.n_bytes) + " bytes as before, modified " +
                            time_text(is.modified_ns) + ")"
                      : bytes_text(was, is));
    return Fate::changed;
  }
  if (!same_size) {
    text = is.path + " has grown" + bytes_text(was, is);
    return Fate::grown;
  }
  if (same_time || is.is_weights || was.n_bytes <= kWholeBytes) return Fate::same;
  text = is.path + " may have changed: modified " + time_text(is.modified_ns) + ", was " +
         time_text(was.modified_ns) + " (if it has not: touch -d '" + time_text(was.modified_ns) +
         "' '" + is.path + "')";
  return Fate::changed;
}

InputFile inspect(const std::string& path, std::int64_t now_ns) {
  struct stat s {};
  if (stat(path.c_str(), &s) != 0)
    throw Error(ExitCode::no_input, "cannot read '" + path + "': " + std::strerror(errno));
  const std::int64_t changed_ns = nanoseconds(s.st_ctim);
  return {.path = path,
          .n_bytes = static_cast<std::uint64_t>(s.st_size),
          .modified_ns = nanoseconds(s.st_mtim),
          .changed_ns = now_ns - changed_ns < kClockTickNs ? kUnsettled : changed_ns,
          .digest = std::nullopt};
}

InputFile decode_input(std::span<const std::byte> bytes, const std::string& where) {
  ByteReader in(bytes, where);
  InputFile file;
  file.path = in.text();
  file.n_bytes = in.varint();
  file.modified_ns = in.fixed<std::int64_t>();
  file.changed_ns = in.fixed<std::int64_t>();
  if (in.fixed<std::uint8_t>() != 0) file.digest = in.fixed<std::uint32_t>();
  in.expect_end();
  return file;
}

std::vector<std::byte> encode_input(const InputFile& file) {
  ByteWriter out;
  out.text(file.path);
  out.varint(file.n_bytes);
  out.fixed(file.modified_ns);
  out.fixed(file.changed_ns);
  out.fixed<std::uint8_t>(file.digest ? 1 : 0);
  if (file.digest) out.fixed(*file.digest);
  return out.take();
}

}  // namespace

std::vector<InputFile> inspect_inputs(std::span<const CorpusFile> files, std::int64_t now_ns) {
  std::vector<InputFile> inputs;
  inputs.reserve(files.size());
  for (const CorpusFile& file : files) inputs.push_back(inspect(file.path, now_ns));
  return inputs;
}

std::vector<InputFile> inspect_model(const std::string& model, std::int64_t now_ns) {
  namespace fs = std::filesystem;
  std::vector<InputFile> inputs;
  std::error_code error;
  const fs::path path = fs::absolute(model, error).lexically_normal();
  if (fs::is_regular_file(path, error)) inputs.push_back(inspect(path.string(), now_ns));
  for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
    if (at->path().extension() == ".safetensors")
      inputs.push_back(inspect(at->path().string(), now_ns));
  }
  std::sort(inputs.begin(), inputs.end(),
            [](const InputFile& a, const InputFile& b) { return a.path < b.path; });
  for (InputFile& input : inputs) input.is_weights = true;
  return inputs;
}

std::optional<std::uint32_t> content_digest(const InputFile& input, std::uint64_t n_bytes) {
  const FileDescriptor file(open(input.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return std::nullopt;
  std::uint32_t crc = 0;
  const bool is_read = input.is_weights || n_bytes <= kWholeBytes
                           ? add_bytes(file.get(), 0, n_bytes, crc)
                           : add_bytes(file.get(), 0, kEndBytes, crc) &&
                                 add_bytes(file.get(), n_bytes - kEndBytes, n_bytes, crc);
  return is_read ? std::optional(crc) : std::nullopt;
}

std::string inputs_path(const std::string& run_directory) {
  return (std::filesystem::path(journal_directory(run_directory)) / "inputs.log").string();
}

RunInputs read_inputs(const std::string& run_directory) {
  const std::string path = inputs_path(run_directory);
  RunInputs inputs;
  if (!std::filesystem::exists(path)) return inputs;
  const std::uint64_t n_ignored =
      read_journal(path, [&](JournalEntry kind, std::span<const std::byte> payload) {
        if (kind == JournalEntry::input) inputs.files.push_back(decode_input(payload, path));
        if (kind == JournalEntry::model_input) {
          inputs.model.push_back(decode_input(payload, path));
          inputs.model.back().is_weights = true;
        }
        if (kind == JournalEntry::header)
          inputs.left_out.assign(reinterpret_cast<const char*>(payload.data()), payload.size());
      });
  if (n_ignored > 0)
    throw BadData(path + ": the record of the corpus files is damaged, " +
                  with_thousands(n_ignored) + " bytes of it: give another --out, or --overwrite");
  return inputs;
}

void write_inputs(const std::string& run_directory, const RunInputs& inputs) {
  std::string content;
  const auto add = [&](JournalEntry kind, std::span<const std::byte> payload) {
    const std::vector<std::byte> frame = JournalWriter::frame(kind, payload);
    content.append(reinterpret_cast<const char*>(frame.data()), frame.size());
  };
  add(JournalEntry::header, std::as_bytes(std::span(inputs.left_out)));
  for (const InputFile& file : inputs.files) add(JournalEntry::input, encode_input(file));
  for (const InputFile& file : inputs.model) add(JournalEntry::model_input, encode_input(file));
  write_file_durably(inputs_path(run_directory), content);
}

InputComparison compare_inputs(std::span<const InputFile> recorded,
                               std::span<const CorpusFile> files, std::vector<InputFile> found,
                               const JournalIndex& earlier) {
  InputComparison result;
  std::map<std::string_view, const InputFile*> before;
  for (const InputFile& file : recorded) before[file.path] = &file;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto was = before.find(found[i].path);
    if (was == before.end()) {
      result.appended.push_back(found[i].path + " is new");
      continue;
    }
    std::string text;
    const Fate fate = fate_of(*was->second, found[i], text);
    if (fate == Fate::same) found[i].digest = was->second->digest;
    const std::string why = fate == Fate::grown ? why_not_appendable(files[i], was->second->n_bytes,
                                                                     earlier.done_of(files[i].path))
                                                : "";
    if (!why.empty()) text += " and cannot be continued: " + why;
    if (fate == Fate::grown && why.empty())
      result.appended.push_back(text);
    else if (fate != Fate::same)
      result.changed.push_back(text);
    before.erase(was);
  }
  for (const auto& [path, file] : before) result.changed.push_back(std::string(path) + " is gone");
  result.now = std::move(found);
  return result;
}

std::vector<std::string> changed_files(std::span<const InputFile> recorded,
                                       std::vector<InputFile>& found) {
  std::vector<std::string> changed;
  for (InputFile& is : found) {
    const auto was = std::find_if(recorded.begin(), recorded.end(),
                                  [&](const InputFile& file) { return file.path == is.path; });
    if (was == recorded.end()) continue;
    std::string text;
    if (fate_of(*was, is, text) == Fate::same)
      is.digest = was->digest;
    else
      changed.push_back(text);
  }
  return changed;
}

void check_same_inputs(std::span<const std::string> run_directories) {
  std::map<std::string, std::pair<InputFile, std::string>> first;  // and whose it is
  for (const std::string& directory : run_directories) {
    for (const InputFile& file : read_inputs(directory).files) {
      const auto [at, is_new] = first.try_emplace(file.path, file, directory);
      if (is_new) continue;
      const auto& [other, whose] = at->second;
      const bool same_digest = !other.digest || !file.digest || *other.digest == *file.digest;
      if (other.n_bytes == file.n_bytes && same_digest) continue;
      throw Error(ExitCode::configuration,
                  file.path + " was another file when " + directory + " read it than when " +
                      whose + " did" + bytes_text(other, file) + ": merge runs of the same corpus");
    }
  }
}

}  // namespace tovamill
