#include "workers/score_loop.h"

#include <algorithm>
#include <new>

#include "kernels/error.h"
#include "workers/run_status.h"

namespace tovamill {
namespace {

constexpr double kWaitSeconds = 0.05;  // for a lease, before looking at the orders again
// Leases that are through and wait for the journal's next sync: more are not worth the wait.
constexpr std::size_t kMostUnsynced = 16;

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

ScoreLoop::ScoreLoop(LoadedModel& model, const RunOptions& options, int rank, LeaseSource& source,
                     RunJournal& journal, const SavedStates& states, WorkDesk& desk)
    : model_(model),
      options_(options),
      rank_(rank),
      source_(source),
      journal_(journal),
      states_(states),
      desk_(desk),
      setting_(stream_setting(model, options)) {}

bool ScoreLoop::run() {
  try {
    while (desk_.keep_going()) {
      if (!turn()) wait();
    }
  } catch (const OutOfMemory& e) {
    journal_.append(CrashEntry{"out of memory"});
    throw;
  } catch (const std::bad_alloc&) {
    journal_.append(CrashEntry{"out of memory"});
    throw OutOfMemory(
        "out of memory: give a smaller --memory-budget, fewer --streams or a smaller --cache-size");
  }
  if (streams_.empty() && !held_ && desk_.orders().command == Command::finish) return true;
  save_all();
  return false;
}

// A step of the model; false where no document is there.
bool ScoreLoop::turn() {
  fill();
  publish();
  if (streams_.empty()) return false;
  step();
  retire();
  if (source_.n_open() > kMostUnsynced) journal_.sync();
  if (journal_.sync_if_due()) sync_done();
  save_due();
  return true;
}

void ScoreLoop::wait() {
  journal_.sync_if_needed();
  sync_done();
  publish();
  const double start = now_s();
  desk_.wait_for_news(kWaitSeconds);
  counters_.seconds_waiting += now_s() - start;
}

void ScoreLoop::sync_done() {
  for (const auto& [file, offset] : done_with_state_) states_.remove(file, offset);
  done_with_state_.clear();
  source_.report_durable();
}

std::int32_t ScoreLoop::rows_ready() const {
  std::int32_t rows = 0;
  for (const Active& a : streams_) rows += a.stream->n_next();
  return rows;
}

// As many documents as fill the rows of a step: more would only be late.
void ScoreLoop::fill() {
  while (streams_.size() < static_cast<std::size_t>(model_.plan.n_streams) &&
         rows_ready() < model_.plan.max_rows) {
    std::optional<LeaseSource::Item> item = std::move(held_);
    held_.reset();
    if (!item) item = source_.next();
    if (!item) return;
    if (item->mode == LeaseMode::set_aside) {
      fail(*item, "kills-its-rank", item->note);
    } else if (!item->record.ok()) {
      fail(*item, item->record.failure_reason, item->record.failure_text);
    } else {
      admit(std::move(*item));
    }
  }
}

void ScoreLoop::admit(LeaseSource::Item item) {
  journal_.append(BegunEntry{item.record.file, item.record.offset});
  std::unique_ptr<StreamState> state;
  if (idle_states_.empty()) {
    try {
      state = model_.backend->make_state();
    } catch (const OutOfMemory&) {
      if (streams_.empty()) throw;
      // What is there has to do.
      model_.plan.n_streams = static_cast<std::int32_t>(streams_.size());
      held_ = std::move(item);
      return;
    }
  } else {
    state = std::move(idle_states_.back());
    idle_states_.pop_back();
  }
  Active a{.stream = nullptr,
           .grant = item.grant,
           .file = item.record.file,
           .offset = item.record.offset,
           .saved_s = now_s(),
           .has_state = false};
  a.stream =
      std::make_unique<DocumentStream>(setting_, *model_.backend, std::move(item.record),
                                       *model_.tokenizer, options_.parse_special, std::move(state));
  if (a.stream->obstacle().empty()) {
    if (const auto saved = states_.find(a.file, a.offset)) {
      a.stream->restore(*saved);
      a.has_state = true;
    }
    streams_.push_back(std::move(a));
    return;
  }
  const DocumentRecord failed = a.stream->finish(rank_);
  idle_states_.push_back(a.stream->release_state());
  count_failure(failed);
  source_.retire(a.grant);
}

void ScoreLoop::fail(const LeaseSource::Item& item, const std::string& reason,
                     const std::string& text) {
  const CorpusRecord& record = item.record;
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
  failed.failure_reason = reason;
  failed.failure_text = text;
  failed.rank = rank_;
  count_failure(failed);
  source_.retire(item.grant);
}

void ScoreLoop::count_failure(const DocumentRecord& record) {
  if (options_.strict) {
    const std::string line = record.line > 0 ? ", line " + std::to_string(record.line) : "";
    throw BadData(record.file + line + ", byte " + std::to_string(record.offset) + ": " +
                  record.failure_text + " (--strict ends the run at the first bad record)");
  }
  journal_.append(record);
  ++counters_.n_failed;
}

// One block of as many streams as the rows take; those left out come first next time.
void ScoreLoop::step() {
  blocks_.clear();
  owners_.clear();
  ids_.clear();
  targets_.clear();
  for (const Active& a : streams_) {
    if (ids_.size() + static_cast<std::size_t>(a.stream->n_next()) >
        static_cast<std::size_t>(model_.plan.max_rows))
      break;
    blocks_.push_back(a.stream->next_block(static_cast<std::int32_t>(ids_.size()), ids_, targets_));
    owners_.push_back(a.stream.get());
  }
  const double start = now_s();
  const StepOutput output =
      model_.forward->run({.blocks = blocks_, .ids = ids_, .targets = targets_});
  counters_.seconds_computing += now_s() - start;
  for (std::size_t i = 0; i < blocks_.size(); ++i) owners_[i]->take(output, blocks_[i], i);
  counters_.n_tokens += ids_.size();
  const auto n_taken = static_cast<std::ptrdiff_t>(blocks_.size());
  streams_.splice(streams_.end(), streams_, streams_.begin(), std::next(streams_.begin(), n_taken));
}

void ScoreLoop::retire() {
  for (auto it = streams_.begin(); it != streams_.end();) {
    if (!it->stream->finished()) {
      ++it;
      continue;
    }
    const DocumentRecord record = it->stream->finish(rank_);
    if (record.status == DocumentRecord::Status::failed) {
      count_failure(record);
    } else {
      journal_.append(record);
      ++counters_.n_documents;
    }
    if (it->has_state) done_with_state_.emplace_back(it->file, it->offset);
    source_.retire(it->grant);
    idle_states_.push_back(it->stream->release_state());
    it = streams_.erase(it);
  }
}

// A rank that was given up and comes back when all is over has nothing to keep.
void ScoreLoop::save(Active& a) {
  if (run_is_done(options_.out)) return;
  states_.save(a.file, a.offset, a.stream->save());
  a.has_state = true;
  a.saved_s = now_s();
}

void ScoreLoop::save_due() {
  if (options_.save_every <= 0.0) return;
  for (Active& a : streams_) {
    if (now_s() - a.saved_s >= options_.save_every && a.stream->n_done() > 0) save(a);
  }
}

// The journal comes first: what is finished counts more than what is under way.
void ScoreLoop::save_all() {
  journal_.sync_if_needed();
  sync_done();
  for (Active& a : streams_) {
    if (a.stream->n_done() > 0) save(a);
  }
}

void ScoreLoop::publish() {
  WorkerSituation s;
  s.phase = WorkerPhase::working;
  s.journal_is_open = true;
  s.bytes_open = bytes_open();
  counters_.seconds_writing = journal_.seconds_writing();
  s.counters = counters_;
  const bool has_room = rows_ready() < model_.plan.max_rows &&
                        streams_.size() < static_cast<std::size_t>(model_.plan.n_streams);
  if (source_.n_open() <= 2 * kMostUnsynced && !held_) {
    if (has_room)
      s.wants = Wants::now;
    else if (!source_.has_lease_ahead())
      s.wants = Wants::ahead;
  }
  desk_.publish(s);
}

std::uint64_t ScoreLoop::bytes_open() const {
  double bytes = static_cast<double>(source_.n_bytes_unread());
  for (const Active& a : streams_) {
    bytes += static_cast<double>(a.stream->n_bytes()) *
             (1.0 - static_cast<double>(a.stream->n_done()) /
                        static_cast<double>(std::max<std::uint64_t>(1, a.stream->n_tokens())));
  }
  return static_cast<std::uint64_t>(bytes);
}

}  // namespace tovamill
