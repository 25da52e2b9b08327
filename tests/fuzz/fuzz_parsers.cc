// Every parser of bytes from outside, for libFuzzer. TOVAMILL_FUZZ names the parser; tests/fuzz.sh
// builds and runs this.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "engine/model/model_config.h"
#include "engine/prompt/chat_template.h"
#include "engine/prompt/jinja.h"
#include "engine/tokenizer/regex.h"
#include "engine/tokenizer/tokenizer.h"
#include "io/corpus/record_reader.h"
#include "io/files/json_file.h"
#include "io/files/mapped_file.h"
#include "io/model/gguf.h"
#include "io/model/safetensors.h"
#include "jobs/command_line/ini_file.h"
#include "kernels/backend.h"
#include "kernels/saved_state.h"
#include "pipeline/distributed/messages.h"
#include "pipeline/run_directory/document_record.h"
#include "pipeline/run_directory/input_files.h"
#include "pipeline/run_directory/journal_entries.h"
#include "pipeline/run_directory/journal_review.h"
#include "pipeline/run_directory/run_report.h"

namespace tovamill {
namespace {

using Bytes = std::span<const std::byte>;
using nlohmann::json;

std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The bytes as a file.
class InputFile {
 public:
  explicit InputFile(Bytes bytes) : fd_(memfd_create("input", MFD_CLOEXEC)) {
    if (fd_ < 0 || write(fd_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
      std::abort();
    path_ = "/proc/self/fd/" + std::to_string(fd_);
  }
  ~InputFile() { close(fd_); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  int fd_;
  std::string path_;
};

void encode_with(const Tokenizer& tokenizer) {
  std::vector<TokenId> ids;
  for (const bool special : {false, true})
    tokenizer.encode("Hello, world 123!\n\n  caf\u00e9 <|end|> \u4f60\u597d", special, ids);
  tokenizer.decode(ids, true);
}

void read_gguf_file(Bytes bytes) {
  const InputFile file(bytes);
  const MappedFile mapped(file.path());
  TensorTable table;
  const GgufContents contents = read_gguf(mapped, table);
  try {
    config_from_gguf(
        contents.metadata, [&](const std::string& name) { return table.find(name); }, "f");
  } catch (const Error&) {
  }
  encode_with(*Tokenizer::from_gguf(contents.metadata, "f"));
}

void read_safetensors_file(Bytes bytes) {
  const InputFile file(bytes);
  const MappedFile mapped(file.path());
  TensorTable table;
  read_safetensors(mapped, table);
  std::uint64_t sum = 0;  // every byte that a tensor is said to have is there
  for (const TensorView& tensor : table.tensors()) {
    for (std::size_t i = 0; i < tensor.n_bytes; ++i)
      sum += std::to_integer<std::uint64_t>(tensor.data[i]);
  }
  if (sum == UINT64_MAX) std::puts("");
}

void read_config(Bytes bytes) {
  const InputFile file(bytes);
  config_from_hf(read_json_object(file.path(), 1u << 24), "f");
}

void read_tokenizer(Bytes bytes) {
  const InputFile file(bytes);
  encode_with(*Tokenizer::from_hf(read_json_object(file.path(), 1u << 24), json::object(), "f"));
}

void read_jinja(Bytes bytes) {
  try {
    read_chat_template(text_of(bytes), {{"bos_token", "<s>"}, {"eos_token", "</s>"}}, "f",
                       {.system = "Be brief."});
  } catch (const Error&) {
  }
  render_jinja(text_of(bytes),
               {{"messages", {{{"role", "user"}, {"content", "a"}}}}, {"bos_token", "<s>"}});
}

void read_regex(Bytes bytes) {
  const Regex regex(std::string(text_of(bytes)), false, "f");
  Regex::Search(regex).for_each("Don't   stop\n\n1234 caf\u00e9 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
                                [](Regex::Span) {});
}

template <CorpusFormat::Kind kind, CorpusFormat::Compression compression>
void read_corpus(Bytes bytes) {
  const InputFile file(bytes);
  CorpusOptions options;
  options.max_record_bytes = 1u << 16;
  options.question_key = "question";
  options.reference_key = "answer";
  const auto reader = open_records({.path = file.path(),
                                    .n_bytes = bytes.size(),
                                    .format = {.kind = kind, .compression = compression}},
                                   options);
  for (CorpusRecord record; reader->next(record);) {
    if (record.ok() == record.text.empty()) std::abort();
  }
}

void read_journal_file(Bytes bytes) {
  const InputFile file(bytes);
  review_journal(file.path());
}

// Payloads of journals, behind their checksums.
void read_entry(Bytes bytes) {
  if (bytes.empty()) return;
  const Bytes rest = bytes.subspan(1);
  switch (std::to_integer<int>(bytes[0]) % 5) {
    case 0:
      decode_document(rest, "f");
      break;
    case 1:
      decode_key(rest, "f");
      break;
    case 2:
      decode_span(rest, "f");
      break;
    case 3:
      decode_begun(rest, "f");
      break;
    default:
      decode_crash(rest, "f");
      break;
  }
}

void read_state(Bytes bytes) {
  static const std::unique_ptr<Backend> backend = [] {
    BackendOptions o;
    o.shape.n_layers = 2;
    o.shape.hidden_size = 8;
    o.shape.intermediate_size = 8;
    o.shape.n_heads = 2;
    o.shape.n_kv_heads = 1;
    o.shape.head_dim = 4;
    o.shape.vocab_size = 8;
    o.shape.trained_context = 64;
    o.shape.ropes = {std::vector<double>(2, 0.1)};
    o.shape.layers.assign(2, {});
    o.cache.cache_size = 4;
    o.dtype = ComputeType::f32;
    o.max_rows = o.max_block = 8;
    o.n_threads = 1;
    return make_cpu_backend(o);
  }();
  static const std::unique_ptr<StreamState> state = backend->make_state();
  try {
    const std::array<std::int32_t, 2> layers{1, 1};
    split_state(bytes, layers);
  } catch (const Error&) {
  }
  backend->load(*state, bytes);
  backend->read_all_positions(*state);
}

void read_ini_file(Bytes bytes) {
  const InputFile file(bytes);
  read_ini(file.path());
}

void read_status(Bytes bytes) {
  const json status = json::parse(text_of(bytes), nullptr, false);
  if (!status.is_discarded())
    report_json(report_of(status, {.now_unix_s = 1e9,
                                   .host = "h",
                                   .boot_id = "b",
                                   .tovamill_started = [](std::int64_t) { return std::nullopt; }}));
}

void read_message(Bytes bytes) {
  Message message;
  message.assign(bytes.begin(), bytes.end());
  switch (kind_of(message)) {
    case MessageKind::registration:
      decode_registration(message);
      break;
    case MessageKind::report:
      decode_report(message);
      break;
    case MessageKind::failure:
      decode_failure(message);
      break;
    case MessageKind::heartbeat:
      decode_heartbeat(message);
      break;
    case MessageKind::lease:
      decode_lease(message);
      break;
  }
}

using Kind = CorpusFormat::Kind;
using Compression = CorpusFormat::Compression;
const std::map<std::string, void (*)(Bytes)> kParsers{
    {"bzip2", read_corpus<Kind::jsonl, Compression::bzip2>},
    {"config", read_config},
    {"entry", read_entry},
    {"gguf", read_gguf_file},
    {"gzip", read_corpus<Kind::jsonl, Compression::gzip>},
    {"ini", read_ini_file},
    {"jinja", read_jinja},
    {"journal", read_journal_file},
    {"jsonl", read_corpus<Kind::jsonl, Compression::none>},
    {"message", read_message},
    {"regex", read_regex},
    {"safetensors", read_safetensors_file},
    {"state", read_state},
    {"status", read_status},
    {"text", read_corpus<Kind::text, Compression::none>},
    {"tokenizer", read_tokenizer},
    {"xz", read_corpus<Kind::jsonl, Compression::xz>},
    {"zstd", read_corpus<Kind::jsonl, Compression::zstd>},
};

void (*parser)(Bytes) = nullptr;

}  // namespace
}  // namespace tovamill

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* name = std::getenv("TOVAMILL_FUZZ");
  const auto found = tovamill::kParsers.find(name == nullptr ? "" : name);
  if (found == tovamill::kParsers.end()) {
    for (const auto& [known, parser] : tovamill::kParsers) std::printf("%s\n", known.c_str());
    std::exit(64);
  }
  tovamill::parser = found->second;
  return 0;
}

// What a parser refuses it says by an Error (BadData, JinjaError, ...); anything else is a finding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t n) {
  try {
    tovamill::parser(std::as_bytes(std::span(data, n)));
  } catch (const tovamill::Error&) {
  } catch (const tovamill::JinjaError&) {
  }
  return 0;
}
