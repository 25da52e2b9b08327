#include "workers/run/run_outputs.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "io/files/output_file.h"
#include "io/model/gguf_model.h"
#include "kernels/types/error.h"
#include "workers/options/budgets.h"
#include "workers/options/sweep.h"
#include "workers/run/run_contents.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;

// Endings of what is read of a model's directory; a log beside it is none of it.
constexpr std::array<std::string_view, 7> kModelEndings{".json",  ".safetensors", ".gguf", ".jinja",
                                                        ".model", ".bin",         ".txt"};

void add_model(InputFiles& inputs, const std::string& model) {
  inputs.add("the model", model);
  std::error_code error;
  if (!fs::is_directory(model, error)) {
    for (const std::string& part : gguf_parts_of(model))
      if (part != model) inputs.add("a part of the model", part);
    return;
  }
  for (fs::directory_iterator at(model, error), end; !error && at != end; at.increment(error)) {
    const std::string ending = at->path().extension().string();
    if (std::find(kModelEndings.begin(), kModelEndings.end(), ending) != kModelEndings.end())
      inputs.add("the model's file", at->path().string());
  }
}

std::vector<std::string> budgets_of(const RunOptions& options) {
  std::vector<std::string> paths;
  const auto add = [&](const RunOptions& o) {
    if (o.budgets != kNoBudgets) paths.push_back(o.budgets);
  };
  if (!is_sweep(options))
    add(options);
  else
    for (const SweepSetting& s : sweep_of(options).settings) add(s.options);
  return paths;
}

InputFiles inputs_of(const RunOptions& options, std::span<const CorpusFile> files) {
  InputFiles inputs;
  add_model(inputs, options.model);
  inputs.add("the file of --prompt", options.generation.prompt_file);
  if (!options.generation.chat_template_text.empty())
    inputs.add("the file of --chat-template", options.generation.chat_template);
  inputs.add("the file of --lexicon", options.lexicon);
  inputs.add("the file of --haystack", options.probe.haystack);
  for (const std::string& path : budgets_of(options)) inputs.add("the file of --budgets", path);
  for (const std::string& path : options.config_files) inputs.add("the file of --config", path);
  for (const std::string& path : options.corpus.paths) inputs.add("the corpus", path);
  for (const CorpusFile& file : files) inputs.add("the corpus file", file.path);
  return inputs;
}

}  // namespace

void check_outputs(const RunOptions& options, std::span<const CorpusFile> files) {
  const InputFiles inputs = inputs_of(options, files);
  inputs.refuse("--out", options.out);
  inputs.refuse_standard_streams();
  const std::string stream = stream_of(options);
  if (stream.empty()) return;
  inputs.refuse("--stream-jsonl", stream);
  std::error_code error;
  const fs::path target = fs::weakly_canonical(stream, error);
  const bool is_in_out =
      !error &&
      target.parent_path() == fs::weakly_canonical(fs::path(options.out) / "", error).parent_path();
  if (is_in_out && is_run_content(target.filename().string()))
    throw Error(ExitCode::configuration, "--stream-jsonl '" + stream +
                                             "' is a file that the run directory needs itself: "
                                             "give another name");
}

void check_standard_streams(const RunOptions& options, std::span<const CorpusFile> files) {
  inputs_of(options, files).refuse_standard_streams();
}

std::string stream_of(const RunOptions& options) {
  return streams_results(options) ? options.generation.stream_jsonl : std::string();
}

}  // namespace tovamill
