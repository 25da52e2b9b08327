#include "workers/score_loop.h"

#include <algorithm>

#include "kernels/error.h"

namespace tovamill {
namespace {

constexpr double kRateSeconds = 5.0;  // over which tokens per second are taken

}  // namespace

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

ScoreLoop::ScoreLoop(LoadedModel& model, const RunOptions& options, RecordSource& source,
                     RunJournal& journal, std::function<bool()> keep_going)
    : model_(model),
      options_(options),
      source_(source),
      journal_(journal),
      keep_going_(std::move(keep_going)),
      setting_(stream_setting(model, options)) {}

bool ScoreLoop::run(const std::function<void(const RunProgress&)>& report) {
  start_s_ = rate_s_ = now_s();
  while (true) {
    if (!keep_going_()) return false;
    fill();
    if (streams_.empty()) break;
    step();
    retire();
    journal_.sync_if_due();
    report(progress());
  }
  seconds_ = now_s() - start_s_;
  return true;
}

// New documents take the places of finished ones.
void ScoreLoop::fill() {
  while (!dry_ && streams_.size() < static_cast<std::size_t>(model_.plan.n_streams)) {
    std::optional<CorpusRecord> record = source_.next();
    if (!record) {
      dry_ = true;
    } else if (record->ok()) {
      admit(std::move(*record));
    } else {
      fail(*record);
    }
  }
}

void ScoreLoop::admit(CorpusRecord record) {
  std::unique_ptr<StreamState> state;
  if (idle_states_.empty()) {
    state = model_.backend->make_state();
  } else {
    state = std::move(idle_states_.back());
    idle_states_.pop_back();
  }
  auto stream =
      std::make_unique<DocumentStream>(setting_, *model_.backend, std::move(record),
                                       *model_.tokenizer, options_.parse_special, std::move(state));
  if (stream->obstacle().empty()) {
    streams_.push_back(std::move(stream));
    return;
  }
  const DocumentRecord failed = stream->finish(0);
  idle_states_.push_back(stream->release_state());
  if (options_.strict)
    throw BadData(failed.file + ", byte " + std::to_string(failed.offset) + ": " +
                  failed.failure_text);
  journal_.append(failed);
  ++n_failed_;
}

void ScoreLoop::fail(const CorpusRecord& record) {
  if (options_.strict) {
    const std::string place = record.line > 0 ? ", line " + std::to_string(record.line) : "";
    throw BadData(record.file + place + ", byte " + std::to_string(record.offset) + ": " +
                  record.failure_text + " (--strict ends the run at the first bad record)");
  }
  DocumentRecord failed;
  failed.status = DocumentRecord::Status::failed;
  failed.id = record.id;
  failed.file = record.file;
  failed.line = record.line;
  failed.offset = record.offset;
  failed.span_begin = record.span_begin;
  failed.span_end = record.span_end;
  failed.n_lines = record.n_lines;
  failed.n_bytes = record.n_bytes;
  failed.failure_reason = record.failure_reason;
  failed.failure_text = record.failure_text;
  journal_.append(failed);
  ++n_failed_;
}

// One block of as many streams as the rows take; those left out come first next time.
void ScoreLoop::step() {
  blocks_.clear();
  owners_.clear();
  ids_.clear();
  targets_.clear();
  for (const auto& stream : streams_) {
    if (ids_.size() + static_cast<std::size_t>(model_.plan.block) >
        static_cast<std::size_t>(model_.plan.max_rows))
      break;
    blocks_.push_back(stream->next_block(static_cast<std::int32_t>(ids_.size()), ids_, targets_));
    owners_.push_back(stream.get());
  }
  const double start = now_s();
  const StepOutput output =
      model_.forward->run({.blocks = blocks_, .ids = ids_, .targets = targets_});
  seconds_computing_ += now_s() - start;
  for (std::size_t i = 0; i < blocks_.size(); ++i) owners_[i]->take(output, blocks_[i], i);
  n_tokens_ += ids_.size();
  std::rotate(streams_.begin(),
              std::next(streams_.begin(), static_cast<std::ptrdiff_t>(blocks_.size())),
              streams_.end());
}

void ScoreLoop::retire() {
  for (auto it = streams_.begin(); it != streams_.end();) {
    if (!(*it)->finished()) {
      ++it;
      continue;
    }
    const DocumentRecord record = (*it)->finish(0);
    if (record.status == DocumentRecord::Status::failed) {
      if (options_.strict)
        throw BadData(record.file + ", byte " + std::to_string(record.offset) + ": " +
                      record.failure_text);
      ++n_failed_;
    } else {
      ++n_documents_;
    }
    journal_.append(record);
    idle_states_.push_back((*it)->release_state());
    it = streams_.erase(it);
  }
}

RunProgress ScoreLoop::progress() {
  RunProgress p;
  const double now = now_s();
  seconds_ = now - start_s_;
  if (now - rate_s_ >= kRateSeconds || rate_ == 0.0) {
    rate_ = static_cast<double>(n_tokens_ - rate_tokens_) / std::max(1e-9, now - rate_s_);
    rate_s_ = now;
    rate_tokens_ = n_tokens_;
  }
  p.n_documents = n_documents_;
  p.n_failed = n_failed_;
  p.n_tokens = n_tokens_;
  p.seconds = seconds_;
  p.tokens_per_second = rate_;
  double behind = static_cast<double>(source_.n_bytes_read());
  for (const auto& s : streams_) {
    behind -= static_cast<double>(s->n_bytes()) *
              (1.0 - static_cast<double>(s->n_done()) / static_cast<double>(s->n_tokens()));
  }
  p.fraction = std::clamp(
      behind / static_cast<double>(std::max<std::uint64_t>(1, source_.n_corpus_bytes())), 0.0, 1.0);
  if (first_fraction_ < 0.0) first_fraction_ = p.fraction;
  const double gained = p.fraction - first_fraction_;
  // With --limit the end of the corpus says nothing of the end of the run.
  if (gained > 0.0 && options_.limit == 0) p.seconds_left = (1.0 - p.fraction) / gained * seconds_;
  return p;
}

}  // namespace tovamill
