#include "workers/run/run_check.h"

#include "workers/documents/prompting.h"
#include "workers/documents/stream_analysis.h"
#include "workers/load/loaded_model.h"
#include "workers/load/model_parts.h"
#include "workers/run/run_guard.h"
#include "workers/run/run_outputs.h"
#include "workers/stages/stage_cut.h"

namespace tovamill {
namespace {

void check_model(const RunOptions& options) {
  const ModelMetadata metadata = open_model(options.model);
  weights_of(*metadata.files, metadata.config);
  cut_layers(metadata.config.shape, options.stages);
  classifier_of(options, *metadata.tokenizer);
  if (options.job_kind != Job::score) Prompting(*metadata.files, *metadata.tokenizer, options);
}

}  // namespace

void check_run(const RunOptions& options) {
  validate(options);
  if (!options.broadcast_weights) check_model(options);
  check_outputs(options, {});
  if (options.job_kind != Job::probe) check_corpus(options.corpus);
  check_run_directory(options.out, stream_of(options));
}

}  // namespace tovamill
