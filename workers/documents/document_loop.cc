#include "workers/documents/document_loop.h"

#include <algorithm>
#include <new>

#include "kernels/types/error.h"
#include "pipeline/run_directory/run_report.h"

namespace tovamill {
namespace {

constexpr double kLeaseWaitSeconds = 0.05;  // for a lease, before looking at the orders again
// A lease that is asked for is there within a few milliseconds; a step with few documents takes
// nearly as long as a full one.
constexpr double kTimeoutSeconds = 0.1;
// Leases that are through and wait for the journal's next sync: more are not worth the wait.
constexpr std::size_t kMostUnsynced = 16;

}  // namespace

DocumentLoop::DocumentLoop(DocumentWork& work, const RunOptions& options, int rank,
                           LeaseSource& source, RunJournal& journal, const SavedStates& states,
                           WorkerMailbox& mailbox)
    : work_(work),
      options_(options),
      rank_(rank),
      source_(source),
      journal_(journal),
      states_(states),
      mailbox_(mailbox),
      start_s_(now_s()) {
  if (streams_results(options)) stream_.emplace(options.generation.stream_jsonl);
}

bool DocumentLoop::run() {
  try {
    while (mailbox_.keep_going()) {
      if (!iterate()) wait();
    }
  } catch (const OutOfMemory& e) {
    journal_.append(CrashEntry{"out of memory"});
    throw;
  } catch (const std::bad_alloc&) {
    journal_.append(CrashEntry{"out of memory"});
    throw OutOfMemory(
        "out of memory: give a smaller --memory-budget, fewer --streams or a smaller --cache-size");
  }
  if (documents_.empty() && !held_ && mailbox_.orders().order == RunOrder::finish) return true;
  save_all();
  return false;
}

// A step of the model; false where no document is there.
bool DocumentLoop::iterate() {
  fill();
  publish();
  if (documents_.empty()) return false;
  fill_up();
  step();
  retire();
  if (source_.n_open() > kMostUnsynced) journal_.sync();
  if (journal_.sync_if_due()) sync_done();
  save_due();
  return true;
}

// Waits for more leases before the step as long as they keep coming. One wait in vain is the last,
// until a lease comes by itself.
void DocumentLoop::fill_up() {
  while (waits_for_leases_ && work_.has_room() && !held_ && mailbox_.keep_going()) {
    const double start = now_s();
    mailbox_.wait_for_news(kTimeoutSeconds);
    count_waiting(start);
    waits_for_leases_ = false;
    fill();
    publish();
  }
}

void DocumentLoop::wait() {
  journal_.sync_if_needed();
  sync_done();
  publish();
  const double start = now_s();
  mailbox_.wait_for_news(kLeaseWaitSeconds);
  count_waiting(start);
}

void DocumentLoop::sync_done() {
  for (const auto& [file, offset] : done_with_state_) states_.remove(file, offset);
  done_with_state_.clear();
  if (stream_ && !not_streamed_.empty()) stream_->append(not_streamed_);
  not_streamed_.clear();
  source_.report_durable();
}

// As many documents as fill a step.
void DocumentLoop::fill() {
  while (work_.has_room()) {
    const bool was_held = held_.has_value();
    std::optional<LeaseSource::Item> item = std::move(held_);
    held_.reset();
    if (!item) item = source_.next();
    if (!item) return;
    waits_for_leases_ = true;
    if (item->mode == LeaseMode::quarantined) {
      fail(*item, "kills-its-rank", item->note);
    } else if (!item->record.ok()) {
      fail(*item, item->record.failure_reason, item->record.failure_text);
    } else if (!admit(*item, was_held)) {
      held_ = std::move(item);
      return;
    }
  }
}

bool DocumentLoop::admit(LeaseSource::Item& item, bool was_held) {
  Active a{.document = nullptr,
           .lease = item.lease,
           .file = item.record.file,
           .offset = item.record.offset,
           .saved_s = now_s(),
           .has_state = false};
  if (!was_held) journal_.append(BegunEntry{a.file, a.offset});
  a.document = work_.open(item.record);
  if (!a.document) return false;
  if (a.document->rejection().empty()) {
    if (const auto saved = states_.find(a.file, a.offset)) {
      a.document->restore(*saved);
      a.has_state = true;
    }
    documents_.push_back(std::move(a));
    return true;
  }
  record(a.document->finish(rank_));
  work_.close(std::move(a.document));
  source_.retire(a.lease);
  return true;
}

void DocumentLoop::fail(const LeaseSource::Item& item, const std::string& reason,
                        const std::string& text) {
  count_failure(failed_record(item.record, reason, text, rank_));
  source_.retire(item.lease);
}

void DocumentLoop::record(const DocumentRecord& record) {
  if (record.status == DocumentRecord::Status::failed) {
    count_failure(record);
    return;
  }
  journal_.append(record);
  if (stream_) not_streamed_.push_back(record);
  ++counters_.n_documents;
}

void DocumentLoop::count_failure(const DocumentRecord& record) {
  if (options_.strict) {
    const std::string line = record.line > 0 ? ", line " + std::to_string(record.line) : "";
    throw BadData(record.file + line + ", byte " + std::to_string(record.offset) + ": " +
                  record.failure_text + " (--strict ends the run at the first bad record)");
  }
  journal_.append(record);
  if (stream_) not_streamed_.push_back(record);
  ++counters_.n_failed;
}

void DocumentLoop::step() {
  const double start = now_s();
  count_computing(start, work_.step());
}

void DocumentLoop::count_computing(double start_s, std::uint64_t n_tokens) {
  const double end_s = now_s();
  counters_.n_tokens += n_tokens;
  counters_.seconds_computing += end_s - start_s;
  timeline_.add(start_s - start_s_, end_s - start_s_,
                {.tokens = static_cast<double>(n_tokens), .computing_s = end_s - start_s});
}

void DocumentLoop::count_waiting(double start_s) {
  const double end_s = now_s();
  counters_.seconds_waiting += end_s - start_s;
  timeline_.add(start_s - start_s_, end_s - start_s_, {.waiting_s = end_s - start_s});
}

void DocumentLoop::retire() {
  for (auto it = documents_.begin(); it != documents_.end();) {
    if (!it->document->finished()) {
      ++it;
      continue;
    }
    record(it->document->finish(rank_));
    if (it->has_state) done_with_state_.emplace_back(it->file, it->offset);
    source_.retire(it->lease);
    work_.close(std::move(it->document));
    it = documents_.erase(it);
  }
}

// A rank that was given up and comes back when all is over has nothing to keep.
void DocumentLoop::save(Active& a) {
  if (run_is_done(options_.out)) return;
  states_.save(a.file, a.offset, a.document->save());
  a.has_state = true;
  a.saved_s = now_s();
}

void DocumentLoop::save_due() {
  if (options_.save_every <= 0.0) return;
  const auto is_due = [&](const Active& a) {
    return now_s() - a.saved_s >= options_.save_every && a.document->fraction_done() > 0.0;
  };
  if (std::none_of(documents_.begin(), documents_.end(), is_due)) return;
  drain();
  for (Active& a : documents_) {
    if (is_due(a)) save(a);
  }
}

// Nothing is in flight after it, and no finished document is left.
void DocumentLoop::drain() {
  const double start = now_s();
  count_computing(start, work_.drain());
  retire();
}

// The journal comes first: what is finished counts more than what is in flight.
void DocumentLoop::save_all() {
  drain();
  journal_.sync_if_needed();
  sync_done();
  for (Active& a : documents_) {
    if (a.document->fraction_done() > 0.0) save(a);
  }
}

void DocumentLoop::publish() {
  WorkerSituation s;
  s.phase = WorkerPhase::working;
  s.journal_is_open = true;
  s.bytes_open = bytes_open();
  counters_.seconds_writing = journal_.seconds_writing();
  s.counters = counters_;
  if (source_.n_open() <= 2 * kMostUnsynced && !held_) {
    if (work_.has_room())
      s.wants = Wants::now;
    else if (!source_.has_lease_ahead())
      s.wants = Wants::ahead;
  }
  mailbox_.publish(s);
}

std::uint64_t DocumentLoop::bytes_open() const {
  double bytes = static_cast<double>(source_.n_bytes_unread());
  for (const Active& a : documents_) {
    bytes += static_cast<double>(a.document->n_bytes()) * (1.0 - a.document->fraction_done());
  }
  return static_cast<std::uint64_t>(bytes);
}

}  // namespace tovamill
