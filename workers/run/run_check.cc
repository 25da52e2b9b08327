#include "workers/run/run_check.h"

#include "workers/documents/prompting.h"
#include "workers/load/loaded_model.h"
#include "workers/load/model_parts.h"
#include "workers/run/run_guard.h"
#include "workers/stages/stage_cut.h"

namespace tovamill {
namespace {

void check_model(const RunOptions& options) {
  const ModelHead head = open_model(options.model);
  weights_of(*head.files, head.config);
  cut_layers(head.config.shape, options.stages);
  if (options.job_kind != Job::score) Prompting(*head.files, *head.tokenizer, options);
}

}  // namespace

void check_run(const RunOptions& options) {
  validate(options);
  if (!options.broadcast_weights) check_model(options);
  check_corpus(options.corpus);
  check_run_directory(options.out);
}

}  // namespace tovamill
