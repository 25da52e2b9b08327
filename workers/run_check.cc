#include "workers/run_check.h"

#include "workers/loaded_model.h"
#include "workers/model_parts.h"
#include "workers/prompting.h"
#include "workers/run_guard.h"
#include "workers/stage_cut.h"

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
