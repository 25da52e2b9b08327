#include "pipeline/distributed/coordinator.h"

#include <algorithm>
#include <utility>

#include "kernels/types/error.h"

namespace tovamill {
namespace {

constexpr double kResendSeconds = 0.5;      // until a lease that no report accepts is sent again
constexpr double kRetrySeconds = 0.05;      // between attempts to serve the waiting workers
constexpr double kThroughputSeconds = 0.5;  // between measurements of throughput
constexpr double kLeaseSeconds = 0.5;       // of work in the smallest leases
constexpr double kRateSeconds = 5.0;        // over which tokens per second are averaged
constexpr std::size_t kMostAhead = 2;       // leases that a worker holds

}  // namespace

Coordinator::Coordinator(CoordinatorOptions options, Channel& channel, Review review, double now_s)
    : options_(std::move(options)),
      channel_(channel),
      review_(std::move(review)),
      schedule_(options_.schedule),
      workers_(static_cast<std::size_t>(channel.n_ranks())) {
  options_.hosts.resize(workers_.size());
  for (Worker& w : workers_) w.heard_s = now_s;
  ticked_s_ = now_s;
}

void Coordinator::begin(RunWork work, double now_s) {
  files_ = std::move(work.files);
  std::vector<ScheduledFile> scheduled_files;
  for (std::size_t f = 0; f < files_.size(); ++f) {
    scheduled_files.push_back({.extent = work.extents.at(f),
                               .path_bytes = static_cast<std::uint32_t>(files_[f].path.size())});
    bytes_total_ += std::max<std::uint64_t>(1, work.extents[f].n_text_bytes);
  }
  schedule_.set_files(std::move(scheduled_files));
  launch_ = work.launch;
  earlier_ = work.earlier;
  if (!work.fingerprint.empty()) fingerprint_ = work.fingerprint;
  for (const SuspectDocument& s : work.suspects) suspects_[{s.file, s.offset}] = s;
  put_back(work.ranges);
  begun_ = true;
  begun_s_ = throughput_measured_s_ = now_s;
  bytes_begun_ = bytes_left();
  if (order_ == RunOrder::wait) order_ = RunOrder::work;
  for (int rank = options_.first_worker; rank < channel_.n_ranks(); ++rank) {
    const Worker& w = workers_[static_cast<std::size_t>(rank)];
    if (w.is_known) take_registration(rank, w.registration);
    send_heartbeat(rank, now_s);
  }
  check_complete();
}

// Documents that ranks died on become ranges of their own.
void Coordinator::put_back(const std::vector<FileRange>& ranges) {
  for (FileRange range : ranges) {
    auto at = suspects_.lower_bound({range.file, range.begin});
    for (; at != suspects_.end() && at->first.file == range.file && at->first.offset < range.end;
         ++at) {
      const SuspectDocument& s = at->second;
      const bool is_quarantined =
          s.n_crashes >= options_.most_crashes || s.n_deaths >= options_.most_deaths;
      const bool alone = s.n_crashes > 0 || s.n_deaths >= options_.alone_after_deaths;
      if (!is_quarantined && !alone) continue;
      // Behind a byte order mark the first record has another place, but is read from 0 only.
      const bool is_first =
          range.begin == 0 && s.offset <= schedule_.extent_of(range.file).latest_first_place;
      const std::uint64_t begin = is_first ? 0 : s.offset;
      schedule_.add({range.file, range.begin, begin});
      schedule_.add({range.file, begin, s.offset + 1},
                    is_quarantined ? LeaseMode::quarantined : LeaseMode::alone);
      range.begin = s.offset + 1;
    }
    // Nothing is behind the beginning of a file that is one record.
    if (files_[range.file].format.is_one_record() && range.begin > 0) continue;
    schedule_.add(range);
  }
  something_new_ = true;
}

void Coordinator::count(const SuspectDocument& suspect) {
  SuspectDocument& s = suspects_[{suspect.file, suspect.offset}];
  s.file = suspect.file;
  s.offset = suspect.offset;
  s.n_crashes += suspect.n_crashes;
  s.n_deaths += suspect.n_deaths;
}

void Coordinator::receive(const Envelope& envelope, double now_s) {
  const int rank = envelope.from;
  if (!is_worker(rank)) return;
  Worker& w = workers_[static_cast<std::size_t>(rank)];
  if (w.state == State::dead) {
    // It was given up and answers again. Others may have its work: it is told to stop, and stays to
    // the end, for some launchers end all ranks when one leaves.
    w.is_present = true;
    return;
  }
  switch (kind_of(envelope.message)) {
    case MessageKind::registration:
      take_registration(rank, decode_registration(envelope.message));
      break;
    case MessageKind::report:
      take_report(rank, decode_report(envelope.message), now_s);
      break;
    case MessageKind::failure: {
      const WorkerFailure t = decode_failure(envelope.message);
      if (t.fatal) {
        const bool names_rank = channel_.n_ranks() > 1;
        const std::string where = w.registration.host.empty() ? "" : " on " + w.registration.host;
        fail(t.exit_code,
             names_rank ? "rank " + std::to_string(rank) + where + ": " + t.text : t.text);
        // It stays until all are told to end: a launcher may end the run at the first rank that
        // leaves with a code of its own, before rank 0 has reported why.
        w.state = State::left;
        w.note = t.text;
        expedite_heartbeats_of_peers(rank);
        break;
      }
      // Its process stays until all end: MPI_Finalize needs it.
      w.is_present = true;
      lose(rank, t.text, now_s);
      break;
    }
    default:
      break;
  }
  w.heard_s = now_s;  // only by messages that were valid
}

void Coordinator::take_registration(int rank, Registration registration) {
  Worker& w = workers_[static_cast<std::size_t>(rank)];
  if (!w.is_known) w.heartbeat_sent_s = -1e9;  // it waits for the answer
  w.is_known = true;
  w.registration = std::move(registration);
  if (!begun_) return;
  if (fingerprint_.empty()) fingerprint_ = w.registration.fingerprint;
  if (w.registration.fingerprint == fingerprint_) return;
  fail(static_cast<int>(ExitCode::configuration),
       "rank " + std::to_string(rank) + " on " + w.registration.host +
           " would compute other numbers than the others (it has " + w.registration.differences +
           "): give --dtype and --device, and the same model on every host");
}

void Coordinator::take_report(int rank, Report report, double now_s) {
  Worker& w = workers_[static_cast<std::size_t>(rank)];
  if (report.number <= w.report.number) return;
  if (report.weights && !w.report.weights) expedite_heartbeats_of_host(rank);
  w.report = std::move(report);
  const Report& r = w.report;
  if (r.stop_requested) request_stop();
  std::erase_if(w.outstanding, [&](const auto& entry) {
    return entry.first <= r.accepted &&
           std::find(r.open.begin(), r.open.end(), entry.first) == r.open.end();
  });
  if (now_s - w.rate_s >= kRateSeconds || w.rate_s == 0.0) {
    if (w.rate_s > 0.0)
      w.tokens_per_second =
          static_cast<double>(r.counters.n_tokens - w.rate_tokens) / (now_s - w.rate_s);
    w.rate_s = now_s;
    w.rate_tokens = r.counters.n_tokens;
  }
  w.wants = r.wants != Wants::nothing;
  if (r.phase == WorkerPhase::left) {
    if (w.state != State::left) expedite_heartbeats_of_peers(rank);
    w.state = State::left;
    if (!w.outstanding.empty() && outcome_ == RunOutcome::running) {
      // It left without an order: its leases go to others.
      lose(rank, "left before the end", now_s);
      return;
    }
  } else if (order_ != RunOrder::work && order_ != RunOrder::wait) {
    w.state = State::leaving;
  } else if (r.phase == WorkerPhase::working) {
    w.state = w.outstanding.empty() ? State::waiting : State::working;
  }
  for (auto& [number, outstanding] : w.outstanding) {
    if (number > r.accepted && now_s - outstanding.sent_s >= kResendSeconds)
      send_lease(rank, outstanding, now_s);
  }
  try_lease(rank, now_s);
  check_complete();
}

// Towards the end, the worker with the least work left is served first. Workers that still load the
// model have none: where there is little to do, the first one ready must not take it all.
bool Coordinator::has_least_work(int rank) const {
  std::uint64_t least = UINT64_MAX;
  for (int r = options_.first_worker; r < channel_.n_ranks(); r += options_.n_stages) {
    const Worker& w = workers_[static_cast<std::size_t>(r)];
    if (w.state == State::starting || w.state == State::working || w.state == State::waiting)
      least = std::min(least, w.report.bytes_open);
  }
  const std::uint64_t mine = workers_[static_cast<std::size_t>(rank)].report.bytes_open;
  return mine <= least || mine - least <= schedule_.least_bytes();
}

void Coordinator::try_lease(int rank, double now_s) {
  if (!takes_leases(rank)) return;
  Worker& w = workers_[static_cast<std::size_t>(rank)];
  const Report& r = w.report;
  if (order_ != RunOrder::work || !begun_ || schedule_.empty() || !w.wants || !w.is_known) return;
  if (r.phase != WorkerPhase::working || !r.journal_is_open || w.state == State::dead) return;
  if (w.outstanding.size() >= kMostAhead && r.wants != Wants::now) return;
  for (const auto& [number, outstanding] : w.outstanding) {
    if (number > r.accepted || outstanding.lease.mode != LeaseMode::normal) return;
  }
  const int n = n_groups_alive();
  if (schedule_.is_ending(n) && (r.wants != Wants::now || !has_least_work(rank))) return;
  // Rank 0 is the coordinator as well: a document that may crash goes to another rank if possible.
  const bool may_be_alone = w.outstanding.empty() && (rank != 0 || n == 1);
  const std::optional<LeaseContent> content = schedule_.take(n, may_be_alone);
  if (!content) return;
  Worker::Outstanding outstanding;
  outstanding.ranges = content->ranges;
  outstanding.n_bytes = content->n_bytes;
  Lease& lease = outstanding.lease;
  lease.number = ++w.n_leases;
  lease.mode = content->mode;
  for (const FileRange& p : content->ranges) {
    const CorpusFile& f = files_[p.file];
    lease.ranges.push_back({.path = f.path,
                            .format = f.format,
                            .file_bytes = f.n_bytes,
                            .begin = p.begin,
                            .end = p.end,
                            .n_bytes = schedule_.cost(p)});
    if (content->mode == LeaseMode::quarantined) {
      // Ranges of this mode end right behind the document's place.
      const SuspectDocument& s = suspects_[{p.file, p.end - 1}];
      lease.note = std::to_string(s.n_crashes) + " ranks crashed and " +
                   std::to_string(s.n_deaths) +
                   " ended without a trace while they computed this document: it is quarantined";
      ++n_quarantined_;
    }
  }
  w.wants = false;
  w.state = State::working;
  send_lease(rank, w.outstanding.emplace(lease.number, std::move(outstanding)).first->second,
             now_s);
}

void Coordinator::send_lease(int rank, Worker::Outstanding& outstanding, double now_s) {
  outstanding.sent_s = now_s;
  channel_.send(rank, encode(outstanding.lease));
}

void Coordinator::tick(double now_s) {
  // If this process stood still (stopped, suspended, waiting for a disk), it received nothing.
  if (const double gap = now_s - ticked_s_; gap > kStandstillSeconds) {
    for (Worker& w : workers_) w.heard_s = std::min(now_s, w.heard_s + gap);
  }
  ticked_s_ = now_s;
  for (int rank = options_.first_worker; rank < channel_.n_ranks(); ++rank) {
    Worker& w = workers_[static_cast<std::size_t>(rank)];
    if (w.state == State::dead && !w.is_present) continue;
    if (w.state != State::left && w.state != State::dead &&
        now_s - w.heard_s > options_.silence_s) {
      lose(rank, "silent for " + std::to_string(static_cast<int>(options_.silence_s)) + " s",
           now_s);
      continue;
    }
    if (now_s - w.heartbeat_sent_s >= options_.heartbeat_s) send_heartbeat(rank, now_s);
  }
  measure_throughput(now_s);
  if (something_new_ || now_s - leased_s_ >= kRetrySeconds) {
    something_new_ = false;
    leased_s_ = now_s;
    for (int rank = options_.first_worker; rank < channel_.n_ranks(); ++rank)
      try_lease(rank, now_s);
  }
  check_complete();
}

// The smallest leases are what a worker does in kLeaseSeconds.
void Coordinator::measure_throughput(double now_s) {
  if (!begun_ || now_s - throughput_measured_s_ < kThroughputSeconds) return;
  throughput_measured_s_ = now_s;
  const std::uint64_t left = bytes_left();
  if (left >= bytes_begun_) return;
  const double bytes_per_second = static_cast<double>(bytes_begun_ - left) / (now_s - begun_s_) /
                                  static_cast<double>(n_groups_alive());
  schedule_.set_least_bytes(std::max(options_.schedule.least_bytes,
                                     static_cast<std::uint64_t>(bytes_per_second * kLeaseSeconds)));
}

void Coordinator::ended(int rank, double now_s) {
  if (!is_worker(rank)) return;
  Worker& w = workers_[static_cast<std::size_t>(rank)];
  if (w.state == State::left || w.state == State::dead) {
    // It has no work, but MPI_Finalize would wait for it.
    w.is_present = false;
    if (order_ != RunOrder::end) anybody_lost_ = true;
    return;
  }
  lose(rank, "its process has ended", now_s);
}

void Coordinator::lose(int rank, const std::string& why, double now_s) {
  Worker& w = workers_[static_cast<std::size_t>(rank)];
  if (w.state == State::dead) return;
  w.state = State::dead;
  w.note = why;
  w.wants = false;
  w.tokens_per_second = 0.0;
  anybody_lost_ = anybody_lost_ || !w.is_present;
  lost_.push_back(rank);
  something_new_ = true;
  std::vector<FileRange> ranges;
  for (const auto& [number, outstanding] : w.outstanding)
    ranges.insert(ranges.end(), outstanding.ranges.begin(), outstanding.ranges.end());
  send_heartbeat(rank, now_s);
  if (w.report.journal_is_open) {
    w.is_reviewed = false;
    review_(rank, std::move(ranges));
  } else {
    w.outstanding.clear();
    put_back(ranges);
  }
  for (const int peer : stage_peers_of(rank)) {
    Worker& m = workers_[static_cast<std::size_t>(peer)];
    if (m.state == State::dead || m.state == State::left) continue;
    m.is_present = true;  // as far as it is known
    lose(peer,
         "it shares a model with rank " + std::to_string(rank) + ", which is lost (" + why + ")",
         now_s);
  }
  check_complete();
}

void Coordinator::reviewed(int rank, const JournalFindings& findings) {
  Worker& w = workers_[static_cast<std::size_t>(rank)];
  if (w.is_reviewed) return;
  w.is_reviewed = true;
  w.outstanding.clear();
  if (!findings.how.empty()) w.note += " (" + findings.how + ")";
  for (const SuspectDocument& s : findings.suspects) count(s);
  put_back(findings.left);
  check_complete();
}

}  // namespace tovamill
