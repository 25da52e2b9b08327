#include "workers/documents/score_work.h"

#include <algorithm>
#include <utility>

#include "kernels/types/error.h"
#include "workers/load/model_parts.h"

namespace tovamill {

StreamSetting stream_setting(const LoadedModel& model, const RunOptions& options) {
  SurroundingTokens around = surrounding_tokens(*model.tokenizer, options.bos);
  if (options.cache.chunk_tokens > 0 &&
      around.leading.size() >= static_cast<std::size_t>(options.cache.chunk_tokens)) {
    throw Error(ExitCode::configuration,
                "--chunk-tokens " + std::to_string(options.cache.chunk_tokens) +
                    ": the model's tokenizer puts " + std::to_string(around.leading.size()) +
                    " tokens before a text; give more, or --bos never");
  }
  const ModelShape& shape = model.config.shape;
  return {.n_layers = shape.n_layers,
          .n_eviction_groups = n_eviction_groups(options.cache, shape),
          .vocab_size = shape.vocab_size,
          .block = model.plan.block,
          .chunk_tokens = options.cache.chunk_tokens,
          .leading = std::move(around.leading),
          .trailing = std::move(around.trailing),
          .keep_tokens = options.token_nll || options.trace_state,
          .keep_eviction_steps = options.trace_state,
          .analysis = analysis_setting(options),
          .positions = static_cast<std::uint8_t>(options.cache.positions),
          .clip_distance = options.cache.positions == Positions::clipped
                               ? clip_distance(options.cache, shape)
                               : 0,
          .seed = options.generation.sampling.seed};
}

int n_tokenizer_threads(const RunOptions& options) {
  constexpr int kMost = 8;
  return device_of(options) == DeviceKind::cuda ? std::clamp(options.threads - 1, 1, kMost) : 0;
}

ScoreWork::ScoreWork(LoadedModel& model, const RunOptions& options)
    : model_(model),
      runner_(*model.runner),
      keeper_(*model.states),
      options_(options),
      setting_(stream_setting(model, options)),
      tokenizer_(*model.tokenizer, n_tokenizer_threads(options),
                 classifier_of(options, *model.tokenizer)) {}

ScoreWork::ScoreWork(LoadedModel& model, const RunOptions& options, StepRunner& runner,
                     StateKeeper& states)
    : model_(model),
      runner_(runner),
      keeper_(states),
      options_(options),
      setting_(stream_setting(model, options)),
      tokenizer_(*model.tokenizer, 0) {}

std::int64_t ScoreWork::rows_ready() const {
  std::int64_t rows = 0;
  for (DocumentStream* s : streams_) rows += s->is_ready(false) ? s->n_next() : setting_.block;
  return rows;
}

// Steps that are in flight at once want documents of their own: blocks of one document follow each
// other.
bool ScoreWork::has_room() const {
  const std::int64_t rows =
      static_cast<std::int64_t>(model_.plan.max_rows) * runner_.max_in_flight();
  return streams_.size() < static_cast<std::size_t>(model_.plan.n_streams) && rows_ready() < rows;
}

// Null where memory ends and there are streams: what is there has to do.
std::unique_ptr<StreamState> ScoreWork::state_for_document() {
  if (!idle_states_.empty()) {
    std::unique_ptr<StreamState> state = std::move(idle_states_.back());
    idle_states_.pop_back();
    return state;
  }
  try {
    return keeper_.make_state();
  } catch (const OutOfMemory&) {
    if (streams_.empty()) throw;
    model_.plan.n_streams = static_cast<std::int32_t>(streams_.size());
    return nullptr;
  }
}

std::unique_ptr<DocumentInFlight> ScoreWork::open(CorpusRecord& record) {
  std::unique_ptr<StreamState> state = state_for_document();
  if (!state) return nullptr;
  // The record goes without its text, which becomes tokens.
  std::string text = std::exchange(record.text, std::string());
  return add(std::make_unique<DocumentStream>(
      setting_, keeper_, std::move(record),
      tokenizer_.start(std::move(text), options_.parse_special).share(), std::move(state)));
}

std::unique_ptr<DocumentStream> ScoreWork::open(const CorpusRecord& record,
                                                const std::shared_future<TextTokens>& text) {
  std::unique_ptr<StreamState> state = state_for_document();
  if (!state) return nullptr;
  return add(std::make_unique<DocumentStream>(setting_, keeper_, record, text, std::move(state)));
}

std::unique_ptr<DocumentStream> ScoreWork::add(std::unique_ptr<DocumentStream> stream) {
  if (stream->rejection().empty()) streams_.push_back(stream.get());
  return stream;
}

void ScoreWork::close(std::unique_ptr<DocumentInFlight> document) {
  auto& stream = static_cast<DocumentStream&>(*document);
  streams_.remove(&stream);
  idle_states_.push_back(stream.release_state());
}

// One block of as many streams as the rows take; those left out come first next time. False where
// nothing can be put on its way.
bool ScoreWork::submit() {
  Step step;
  ids_.clear();
  targets_.clear();
  auto it = streams_.begin();
  for (std::size_t n_left = streams_.size(); n_left > 0; --n_left) {
    DocumentStream* stream = *it;
    const std::int32_t n = stream->is_ready(false) ? stream->n_next() : 0;
    if (ids_.size() + static_cast<std::size_t>(n) > static_cast<std::size_t>(model_.plan.max_rows))
      break;
    const auto here = it++;
    if (n == 0) continue;
    step.blocks.push_back(
        stream->next_block(static_cast<std::int32_t>(ids_.size()), ids_, targets_));
    step.owners.push_back(stream);
    streams_.splice(streams_.end(), streams_, here);
  }
  if (step.blocks.empty()) return false;
  step.n_tokens = ids_.size();
  runner_.submit({.blocks = step.blocks, .ids = ids_, .targets = targets_});
  in_flight_.push_back(std::move(step));
  return true;
}

std::size_t ScoreWork::collect() {
  if (in_flight_.empty()) return 0;
  const Step step = std::move(in_flight_.front());
  in_flight_.pop_front();
  const StepOutput output = runner_.collect();
  for (std::size_t i = 0; i < step.blocks.size(); ++i)
    step.owners[i]->advance(output, step.blocks[i], i);
  return step.n_tokens;
}

std::size_t ScoreWork::step() {
  const auto most = static_cast<std::size_t>(runner_.max_in_flight());
  do {
    while (in_flight_.size() < most && submit()) continue;
  } while (in_flight_.empty() && wait_for_text());
  return collect();
}

// Waits for the tokens of the first document that lacks them; false where all have theirs.
bool ScoreWork::wait_for_text() {
  for (DocumentStream* s : streams_) {
    if (!s->is_ready(false)) return s->is_ready(true);
  }
  return false;
}

std::size_t ScoreWork::drain() {
  std::size_t n_tokens = 0;
  while (!in_flight_.empty()) n_tokens += collect();
  return n_tokens;
}

}  // namespace tovamill
