#include "tests/support/runs/fake_cluster.h"

#include <algorithm>

namespace tovamill::testing {

// A rank's end of the network.
class FakeCluster::Port final : public Channel {
 public:
  Port(FakeCluster& cluster, int rank, int n_ranks)
      : cluster_(cluster), rank_(rank), n_ranks_(n_ranks) {}
  int rank() const override { return rank_; }
  int n_ranks() const override { return n_ranks_; }
  void send(int to, Message message) override { cluster_.post(rank_, to, std::move(message)); }
  std::optional<Envelope> receive() override {
    if (arrived.empty()) return std::nullopt;
    Envelope e = std::move(arrived.front());
    arrived.pop_front();
    return e;
  }
  std::deque<Envelope> arrived;

 private:
  FakeCluster& cluster_;
  int rank_, n_ranks_;
};

struct FakeCluster::Worker {
  int rank = 0;
  bool alive = true;
  double frozen_until_s = 0.0;
  std::unique_ptr<WorkerLink> link;
  WorkerSituation situation;
  std::size_t journal = SIZE_MAX;  // index into journals_
  double ready_s = 0.0;            // when its model is loaded

  struct Open {
    std::uint64_t lease;
    int n_documents = 0;  // not yet durable
    bool is_read = false;
  };
  std::map<std::uint64_t, Open> leases;
  struct Task {
    std::uint64_t lease;
    std::uint32_t file;
    FakeDocument document;
    LeaseMode mode;
    double left_bytes;
  };
  std::deque<Task> queue;     // read, not yet begun
  std::vector<Task> streams;  // in the model
  std::vector<Task> unsynced;
  double synced_s = 0.0;
  bool had_work = false;
  double idle_s = 0.0;
};

FakeCluster::FakeCluster(std::vector<FakeFile> files, const FakeOptions& options,
                         std::uint64_t seed)
    : files_(std::move(files)), options_(options), random_(seed) {}
FakeCluster::~FakeCluster() = default;

bool FakeCluster::chance(double probability) {
  return std::uniform_real_distribution<double>(0.0, 1.0)(random_) < probability;
}
double FakeCluster::uniform(double most) {
  return std::uniform_real_distribution<double>(0.0, most)(random_);
}

void FakeCluster::post(int from, int to, Message message) {
  if (message.size() > kMostMessageBytes) throw std::logic_error("a message is too long");
  const int copies = from == to ? 1 : chance(options_.drop) ? 0 : chance(options_.twice) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    const double delay = from == to ? 0.0 : uniform(options_.most_delay_s);
    network_.push({now_ + delay, from, to, message});
  }
}

void FakeCluster::deliver() {
  while (!network_.empty() && network_.top().at_s <= now_) {
    const InFlight m = network_.top();
    network_.pop();
    if (is_for_coordinator(kind_of(m.message))) {
      if (coordinator_) coordinator_->receive({m.from, m.message}, now_);
      continue;
    }
    Worker* w = workers_[static_cast<std::size_t>(m.to)].get();
    if (w == nullptr || !w->alive) continue;
    if (now_ < w->frozen_until_s) {
      ports_[static_cast<std::size_t>(m.to)]->arrived.push_back({m.from, m.message});
    } else {
      w->link->receive(m.message, now_);
    }
  }
}

// The records of leases become tasks; ranges are read as a RecordReader does.
void FakeCluster::step_worker(int rank) {
  Worker& w = *workers_[static_cast<std::size_t>(rank)];
  if (!w.alive || now_ < w.frozen_until_s) return;
  Port& port = *ports_[static_cast<std::size_t>(rank)];
  while (auto e = port.receive()) w.link->receive(e->message, now_);
  const Heartbeat& orders = w.link->orders();
  if (w.link->coordinator_is_silent(now_) || orders.order == RunOrder::leave ||
      orders.order == RunOrder::end) {
    if (orders.order != RunOrder::end) close(w);
    w.alive = false;
    return;
  }
  if (now_ >= w.ready_s && w.situation.phase == WorkerPhase::starting) {
    w.link->register_worker({.host = "fake",
                             .pid = rank,
                             .n_threads = 1,
                             .device = "",
                             .fingerprint = "f",
                             .differences = ""});
    if (orders.launch > 0) {
      w.journal = journals_.size();
      journals_.emplace_back().is_open = true;
      w.situation.phase = WorkerPhase::working;
      w.situation.journal_is_open = true;
    }
  }
  while (auto lease = w.link->take_lease()) {
    Worker::Open& open = w.leases[lease->number];
    open.lease = lease->number;
    open.is_read = true;
    for (const LeasedRange& p : lease->ranges) {
      const auto f = static_cast<std::uint32_t>(std::stoul(p.path.substr(1)));
      for (const FakeDocument& d : files_[f].documents) {
        if (d.offset < p.begin || d.offset >= p.end) continue;
        w.queue.push_back({lease->number, f, d, lease->mode, static_cast<double>(d.n_bytes)});
        ++open.n_documents;
      }
    }
  }
  if (w.situation.phase == WorkerPhase::working) {
    if (orders.order == RunOrder::stop || orders.order == RunOrder::finish) {
      close(w);
    } else {
      compute(w);
    }
  }
  w.link->update(w.situation);
  w.link->tick(now_);
}

void FakeCluster::compute(Worker& w) {
  FakeJournal& journal = journals_[w.journal];
  while (!w.queue.empty() && w.streams.size() < options_.n_streams) {
    const bool alone = w.queue.front().mode != LeaseMode::normal ||
                       (!w.streams.empty() && w.streams.front().mode != LeaseMode::normal);
    if (alone && !w.streams.empty()) break;
    w.streams.push_back(w.queue.front());
    w.queue.pop_front();
    journal.begun.insert({w.streams.back().file, w.streams.back().document.offset});
  }
  if (!w.streams.empty()) w.had_work = true;
  const double share = options_.bytes_per_second * options_.step_s /
                       static_cast<double>(std::max<std::size_t>(1, w.streams.size()));
  for (std::size_t i = 0; i < w.streams.size();) {
    Worker::Task& task = w.streams[i];
    if (task.mode == LeaseMode::quarantined) {
      task.left_bytes = 0.0;
    } else {
      task.left_bytes -= share;
      if (task.document.kills != 0 &&
          task.left_bytes < 0.5 * static_cast<double>(task.document.n_bytes)) {
        kill(w.rank, task.document.kills == 1);
        return;
      }
    }
    if (task.left_bytes > 0.0) {
      ++i;
      continue;
    }
    w.unsynced.push_back(task);
    w.streams.erase(w.streams.begin() + static_cast<std::ptrdiff_t>(i));
  }
  const bool idle = w.streams.empty() && w.queue.empty();
  if (idle && w.had_work) w.idle_s += options_.step_s;
  if (idle || now_ - w.synced_s > 1.0) {
    for (const Worker::Task& t : w.unsynced) {
      (t.mode == LeaseMode::quarantined ? journal.quarantined : journal.done)
          .insert({t.file, t.document.offset});
      --w.leases[t.lease].n_documents;
    }
    w.unsynced.clear();
    w.synced_s = now_;
    for (auto it = w.leases.begin(); it != w.leases.end();) {
      if (it->second.n_documents > 0) {
        ++it;
        continue;
      }
      w.link->finished(it->first);
      it = w.leases.erase(it);
    }
  }
  w.situation.wants = w.streams.size() + w.queue.size() < options_.n_streams ? Wants::now
                      : w.queue.size() < options_.n_streams                  ? Wants::ahead
                                                                             : Wants::nothing;
  double open = 0.0;
  for (const Worker::Task& t : w.streams) open += t.left_bytes;
  for (const Worker::Task& t : w.queue) open += t.left_bytes;
  w.situation.bytes_open = static_cast<std::uint64_t>(std::max(0.0, open));
}

void FakeCluster::close(Worker& w) {
  if (w.journal != SIZE_MAX) {
    FakeJournal& journal = journals_[w.journal];
    for (const Worker::Task& t : w.unsynced)
      (t.mode == LeaseMode::quarantined ? journal.quarantined : journal.done)
          .insert({t.file, t.document.offset});
    journal.has_footer = true;
  }
  w.unsynced.clear();
  w.situation.phase = WorkerPhase::left;
  longest_idle_s_ = std::max(longest_idle_s_, w.idle_s);
}

void FakeCluster::kill(int rank, bool leaves_mark) {
  Worker& w = *workers_[static_cast<std::size_t>(rank)];
  if (!w.alive) return;
  w.alive = false;
  if (w.journal != SIZE_MAX) {
    FakeJournal& journal = journals_[w.journal];
    journal.has_crash = leaves_mark;
    const bool loses = !leaves_mark && chance(options_.machine_dies);
    for (const Worker::Task& t : w.unsynced) {
      if (!loses)
        (t.mode == LeaseMode::quarantined ? journal.quarantined : journal.done)
            .insert({t.file, t.document.offset});
    }
  }
  // The coordinator lives in rank 0.
  if (rank == 0) coordinator_.reset();
  if (coordinator_ && options_.sees_processes) coordinator_->ended(rank, now_);
}

std::vector<FileRange> FakeCluster::what_is_left(
    const std::vector<FileRange>& ranges, const std::vector<const FakeJournal*>& journals) const {
  std::vector<FileRange> left;
  for (FileRange p : ranges) {
    for (const FakeDocument& d : files_[p.file].documents) {
      if (d.offset < p.begin || d.offset >= p.end) continue;
      const std::pair<std::uint32_t, std::uint64_t> key{p.file, d.offset};
      const bool done = std::any_of(journals.begin(), journals.end(), [&](const FakeJournal* j) {
        return j->done.contains(key) || j->quarantined.contains(key);
      });
      if (!done) continue;
      if (p.begin < d.offset) left.push_back({p.file, p.begin, d.offset});
      p.begin = d.offset + d.n_bytes;
      if (files_[p.file].file.format.is_one_record()) p.begin = p.end;
    }
    if (p.begin < p.end) left.push_back(p);
  }
  return left;
}

void FakeCluster::review(int rank, const std::vector<FileRange>& ranges) {
  const Worker& w = *workers_[static_cast<std::size_t>(rank)];
  JournalFindings findings;
  const FakeJournal empty;
  const FakeJournal& journal = w.journal == SIZE_MAX ? empty : journals_[w.journal];
  findings.left = what_is_left(ranges, {&journal});
  if (journal.has_crash) findings.how = "signal 11";
  if (!journal.has_footer) {
    for (const auto& key : journal.begun) {
      if (journal.done.contains(key)) continue;
      findings.suspects.push_back({.file = key.first,
                                   .offset = key.second,
                                   .n_crashes = journal.has_crash ? 1 : 0,
                                   .n_deaths = journal.has_crash ? 0 : 1});
    }
  }
  if (coordinator_) coordinator_->reviewed(rank, findings);
}

RunWork FakeCluster::prepare() {
  RunWork work;
  std::vector<const FakeJournal*> journals;
  for (const FakeJournal& j : journals_) journals.push_back(&j);
  std::vector<FileRange> whole;
  for (std::uint32_t f = 0; f < files_.size(); ++f) {
    work.files.push_back(files_[f].file);
    work.extents.push_back(extent_of(files_[f].file));
    whole.push_back({f, 0, work.extents[f].can_be_cut() ? files_[f].file.n_bytes : kToTheEnd});
  }
  work.ranges = what_is_left(whole, journals);
  std::map<std::pair<std::uint32_t, std::uint64_t>, SuspectDocument> suspects;
  for (const FakeJournal& j : journals_) {
    if (j.has_footer) continue;
    for (const auto& key : j.begun) {
      if (n_done(key.first, key.second) + n_quarantined(key.first, key.second) > 0) continue;
      SuspectDocument& s = suspects[key];
      s.file = key.first;
      s.offset = key.second;
      (j.has_crash ? s.n_crashes : s.n_deaths) += 1;
    }
  }
  for (const auto& [key, s] : suspects) work.suspects.push_back(s);
  work.launch = ++launch_;
  work.fingerprint = "f";
  return work;
}

std::optional<RunOutcome> FakeCluster::launch() {
  const int n = options_.n_workers + (options_.dedicated ? 1 : 0);
  network_ = {};
  workers_.clear();
  ports_.clear();
  reviews_.clear();
  for (int rank = 0; rank < n; ++rank) ports_.push_back(std::make_unique<Port>(*this, rank, n));
  CoordinatorOptions o = options_.coordinator;
  o.first_worker = options_.dedicated ? 1 : 0;
  for (int rank = 0; rank < n; ++rank) o.hosts.push_back(static_cast<std::uint64_t>(rank / 2));
  coordinator_ = std::make_unique<Coordinator>(
      o, *ports_[0],
      [&](int rank, std::vector<FileRange> ranges) {
        reviews_.push_back({now_ + uniform(1.0), rank, std::move(ranges)});
      },
      now_);
  for (int rank = 0; rank < n; ++rank) {
    workers_.emplace_back();
    if (rank == 0 && options_.dedicated) continue;
    auto w = std::make_unique<Worker>();
    w->rank = rank;
    w->ready_s = now_ + uniform(2.0);
    w->link = std::make_unique<WorkerLink>(*ports_[static_cast<std::size_t>(rank)], 0,
                                           options_.coordinator.silence_s, now_);
    workers_.back() = std::move(w);
  }
  const double prepared_s = now_ + uniform(2.0);
  bool begun = false, told_end = false;
  std::optional<RunOutcome> outcome;
  for (; !time_is_up(); now_ += options_.step_s) {
    deliver();
    if (coordinator_ && !begun && now_ >= prepared_s) {
      begun = true;
      coordinator_->begin(prepare(), now_);
    }
    const bool kills = n_kills_ < options_.most_kills;
    for (int rank = 0; rank < n; ++rank) {
      Worker* w = workers_[static_cast<std::size_t>(rank)].get();
      if (w == nullptr || !w->alive) continue;
      if (kills && rank > 0 && chance(options_.kill * options_.step_s)) {
        ++n_kills_;
        kill(rank, false);
      } else if (rank > 0 && now_ >= w->frozen_until_s &&
                 chance(options_.freeze * options_.step_s)) {
        w->frozen_until_s = now_ + uniform(3.0 * options_.coordinator.silence_s);
      }
      step_worker(rank);
    }
    if (kills && coordinator_ && chance(options_.kill_coordinator * options_.step_s)) {
      ++n_kills_;
      coordinator_.reset();
      if (workers_[0]) kill(0, false);
    }
    for (std::size_t i = 0; i < reviews_.size();) {
      if (reviews_[i].at_s > now_) {
        ++i;
        continue;
      }
      const PendingReview r = reviews_[i];
      reviews_.erase(reviews_.begin() + static_cast<std::ptrdiff_t>(i));
      review(r.rank, r.ranges);
    }
    if (coordinator_) {
      coordinator_->tick(now_);
      if (coordinator_->everybody_left() && !told_end) {
        outcome = coordinator_->outcome();
        coordinator_->end();
        told_end = true;
      }
    }
    // Workers that nobody tells to end leave by themselves when all is silent.
    if (told_end && coordinator_ && coordinator_->everybody_was_told()) coordinator_.reset();
    const bool anybody =
        std::any_of(workers_.begin(), workers_.end(), [](const auto& w) { return w && w->alive; });
    if (!anybody && (told_end || !coordinator_)) return outcome;
  }
  return std::nullopt;
}

bool FakeCluster::run_to_completion(int most_launches) {
  for (int i = 0; i < most_launches && !time_is_up(); ++i) {
    if (launch() == RunOutcome::complete) return true;
    options_.n_workers = (1 + static_cast<int>(random_() % 6)) * options_.coordinator.n_stages;
  }
  return false;
}

int FakeCluster::n_done(std::uint32_t file, std::uint64_t offset) const {
  int n = 0;
  for (const FakeJournal& j : journals_) n += j.done.contains({file, offset});
  return n;
}
int FakeCluster::n_quarantined(std::uint32_t file, std::uint64_t offset) const {
  int n = 0;
  for (const FakeJournal& j : journals_) n += j.quarantined.contains({file, offset});
  return n;
}

std::vector<FakeFile> fake_corpus(std::uint64_t seed, int n_documents, double killers) {
  std::mt19937_64 random(seed);
  std::vector<FakeFile> files;
  while (n_documents > 0) {
    FakeFile f;
    f.file.path = "/" + std::to_string(files.size());
    const int kind = static_cast<int>(random() % 4);
    const int n =
        kind == 0 ? 1 : 1 + static_cast<int>(random() % static_cast<std::uint64_t>(n_documents));
    f.file.format.kind = kind == 0 ? CorpusFormat::Kind::text : CorpusFormat::Kind::jsonl;
    f.file.format.compression =
        kind == 1 ? CorpusFormat::Compression::zstd : CorpusFormat::Compression::none;
    std::uint64_t at = 0;
    for (int i = 0; i < n; ++i) {
      const std::uint64_t bytes = 10 + random() % (random() % 8 == 0 ? 4000 : 300);
      const bool kills = static_cast<double>(random() % 1000) < killers * 1000.0;
      f.documents.push_back({at, bytes, kills ? 1 + static_cast<int>(random() % 2) : 0});
      at += bytes;
    }
    f.file.n_bytes = kind == 1 ? at / 3 + 1 : at;
    n_documents -= n;
    files.push_back(std::move(f));
  }
  return files;
}

}  // namespace tovamill::testing
