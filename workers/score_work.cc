#include "workers/score_work.h"

#include <iterator>

#include "kernels/error.h"

namespace tovamill {

StreamSetting stream_setting(const LoadedModel& model, const RunOptions& options) {
  const bool wants_bos = options.bos == BosMode::always ||
                         (options.bos == BosMode::automatic && model.tokenizer->adds_bos());
  if (wants_bos && !model.tokenizer->bos_id()) {
    throw Error(ExitCode::configuration,
                "--bos always: the model's tokenizer has no BOS token; use --bos never");
  }
  const ModelShape& shape = model.config.shape;
  return {.n_layers = shape.n_layers,
          .n_groups = n_groups(options.cache, shape),
          .vocab_size = shape.vocab_size,
          .block = model.plan.block,
          .chunk_tokens = options.cache.chunk_tokens,
          .bos = wants_bos ? model.tokenizer->bos_id() : std::nullopt,
          .keep_tokens = options.token_nll || options.trace_state,
          .keep_deaths = options.trace_state,
          .positions = static_cast<std::uint8_t>(options.cache.positions),
          .clip_distance = options.cache.positions == Positions::clipped
                               ? clip_distance(options.cache, shape)
                               : 0};
}

ScoreWork::ScoreWork(LoadedModel& model, const RunOptions& options)
    : model_(model), options_(options), setting_(stream_setting(model, options)) {}

std::int32_t ScoreWork::rows_ready() const {
  std::int32_t rows = 0;
  for (const DocumentStream* s : streams_) rows += s->n_next();
  return rows;
}

bool ScoreWork::has_room() const {
  return streams_.size() < static_cast<std::size_t>(model_.plan.n_streams) &&
         rows_ready() < model_.plan.max_rows;
}

// Null where memory ends and there are streams: what is there has to do.
std::unique_ptr<StreamState> ScoreWork::take_state() {
  if (!idle_states_.empty()) {
    std::unique_ptr<StreamState> state = std::move(idle_states_.back());
    idle_states_.pop_back();
    return state;
  }
  try {
    return model_.backend->make_state();
  } catch (const OutOfMemory&) {
    if (streams_.empty()) throw;
    model_.plan.n_streams = static_cast<std::int32_t>(streams_.size());
    return nullptr;
  }
}

std::unique_ptr<DocumentUnderWay> ScoreWork::open(CorpusRecord& record) {
  std::unique_ptr<StreamState> state = take_state();
  if (!state) return nullptr;
  auto stream =
      std::make_unique<DocumentStream>(setting_, *model_.backend, std::move(record),
                                       *model_.tokenizer, options_.parse_special, std::move(state));
  if (stream->obstacle().empty()) streams_.push_back(stream.get());
  return stream;
}

void ScoreWork::close(std::unique_ptr<DocumentUnderWay> document) {
  auto& stream = static_cast<DocumentStream&>(*document);
  streams_.remove(&stream);
  idle_states_.push_back(stream.release_state());
}

// One block of as many streams as the rows take; those left out come first next time.
std::size_t ScoreWork::step() {
  blocks_.clear();
  owners_.clear();
  ids_.clear();
  targets_.clear();
  for (DocumentStream* stream : streams_) {
    if (stream->finished()) continue;
    if (ids_.size() + static_cast<std::size_t>(stream->n_next()) >
        static_cast<std::size_t>(model_.plan.max_rows))
      break;
    blocks_.push_back(stream->next_block(static_cast<std::int32_t>(ids_.size()), ids_, targets_));
    owners_.push_back(stream);
  }
  const StepOutput output =
      model_.forward->run({.blocks = blocks_, .ids = ids_, .targets = targets_});
  for (std::size_t i = 0; i < blocks_.size(); ++i) owners_[i]->take(output, blocks_[i], i);
  const auto n_taken = static_cast<std::ptrdiff_t>(blocks_.size());
  streams_.splice(streams_.end(), streams_, streams_.begin(), std::next(streams_.begin(), n_taken));
  return ids_.size();
}

}  // namespace tovamill
