#include "workers/run/probe_run.h"

#include <filesystem>

#include "io/files/output_file.h"
#include "kernels/types/error.h"
#include "pipeline/run_directory/run_directory.h"
#include "workers/load/loaded_model.h"
#include "workers/options/option_values.h"
#include "workers/probe/probe_corpus.h"
#include "workers/run/run_guard.h"

namespace tovamill {
namespace {

void write_corpus(const RunOptions& options, const Tokenizer& tokenizer, const std::string& path,
                  const std::string& option) {
  const ProbeCorpus corpus(tokenizer, options);
  InputFiles inputs;
  inputs.add("the model", options.model);
  inputs.add("the file of --haystack", options.probe.haystack);
  OutputFile output(path, {.option = option,
                           .kind = "a corpus of tovamill probe",
                           .is_ours = is_probe_corpus,
                           .inputs = &inputs});
  corpus.write(output.stream());
  output.commit();
}

}  // namespace

void name_probe_corpus(RunOptions& options) {
  read_haystack(options.probe);
  options.corpus = {};  // whatever a file of --config says of others
  options.corpus.question_key = "question";
  options.corpus.reference_key = "reference";
  options.corpus.paths = {probe_corpus_path(options.out)};
}

void make_probe_corpus(const RunOptions& options, double lock_wait_s) {
  const std::string path = probe_corpus_path(options.out);
  const ModelMetadata metadata = open_model(options.model);  // before anything is made
  prepare_run_directory(options.out);
  const RunLock lock(options.out, lock_wait_s);
  const bool has_begun = !scan_journals(options.out).journals.empty();
  if (has_begun && !options.overwrite && std::filesystem::exists(path)) return;
  write_corpus(options, *metadata.tokenizer, path, "--out");
}

void write_probe_corpus(const RunOptions& options, const std::string& path) {
  write_corpus(options, *open_model(options.model).tokenizer, path, "--write-corpus");
}

}  // namespace tovamill
