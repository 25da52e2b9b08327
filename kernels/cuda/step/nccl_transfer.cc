#include "kernels/cuda/step/nccl_transfer.h"

#include <utility>

#include "kernels/cuda/step/buffers.h"
#include "kernels/cuda/step/device.h"

namespace tovamill::cuda {
namespace {

constexpr auto kLook = std::chrono::milliseconds(5);  // between looks at the links

}  // namespace

std::unique_ptr<ActivationTransfer> make_nccl_transfer(const ActivationLinksPlace& place,
                                                       int device, InFlightSteps& in_flight) {
  return std::make_unique<NcclTransfer>(place, device, in_flight);
}

NcclTransfer::NcclTransfer(const ActivationLinksPlace& place, int device, InFlightSteps& in_flight)
    : place_(place), device_(device), in_flight_(in_flight) {
  if (place.before) join(incoming_, *place.before, false);
  if (place.behind) join(outgoing_, *place.behind, true);
  watcher_ = std::thread([this] { watch(); });
}

// Both are broken off before either stream is waited for.
NcclTransfer::~NcclTransfer() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  ends_.notify_one();
  watcher_.join();
  for (End* end : {&incoming_, &outgoing_}) {
    if (end->link) end->link->break_off();
  }
}

void NcclTransfer::join(End& end, const NcclGroupId& id, bool sends) {
  const auto on_poll = [this] {
    if (const auto why = place_.why_closed()) throw StageLost(*why);
  };
  const LinkPlace place{.id = id,
                        .sends = sends,
                        .timeout_s = place_.join_s,
                        .content = static_cast<std::uint64_t>(place_.hidden_size),
                        .on_poll = on_poll};
  auto link = std::make_unique<Link>(place, end.stream);
  link->join(place);
  end.link = std::move(link);
}

std::size_t NcclTransfer::bytes_of(std::int32_t n_rows) const {
  return static_cast<std::size_t>(n_rows) * static_cast<std::size_t>(place_.hidden_size) *
         sizeof(float);
}

template <class Call>
void NcclTransfer::run(End& end, Call&& call) {
  check();
  try {
    call(*end.link);
  } catch (const NcclGroupError& e) {
    lose(e.what());
    check();
  }
  ++end.n_called;
}

void NcclTransfer::receive(Buffer& rows, std::int32_t n_rows) {
  if (has_missed_)
    throw StageLost("rows of an earlier step, for which there was no memory, are on their way");
  const auto& buffer = static_cast<const CudaBuffer&>(rows);
  InFlightStep& in_flight = in_flight_.newest();
  if (!in_flight_.is_finished(buffer.last_step))
    in_flight_.order_after(buffer.last_step, incoming_.stream);
  if (buffer.is_leaving) incoming_.stream.wait(*buffer.sent);
  buffer.is_leaving = false;
  buffer.last_step = in_flight.step();
  run(incoming_, [&](Link& link) { link.receive(buffer.memory.data(), bytes_of(n_rows)); });
  received_.record(incoming_.stream);
  in_flight.wait(received_);
}

void NcclTransfer::send(const Buffer& rows, std::int32_t n_rows) {
  const auto& buffer = static_cast<const CudaBuffer&>(rows);
  if (!buffer.sent) buffer.sent = std::make_unique<Event>();
  in_flight_.newest().order(outgoing_.stream);
  run(outgoing_, [&](Link& link) { link.send(buffer.memory.data(), bytes_of(n_rows)); });
  buffer.sent->record(outgoing_.stream);
  buffer.is_leaving = true;
}

void NcclTransfer::check() const {
  const std::lock_guard lock(mutex_);
  if (lost_) throw StageLost(*lost_);
}

// Why comes first: whoever is woken by the end of a link finds it.
void NcclTransfer::lose(const std::string& why) {
  {
    const std::lock_guard lock(mutex_);
    if (lost_) return;
    lost_ = why;
  }
  for (End* end : {&incoming_, &outgoing_}) {
    if (end->link) end->link->break_off();
  }
  place_.on_lost(why);
}

// ---- the thread that watches

void NcclTransfer::watch() {
  while (true) {
    if (const std::string why = find_failure(); !why.empty()) return lose(why);
    std::unique_lock lock(mutex_);
    if (ends_.wait_for(lock, kLook, [&] { return is_over_ || lost_; })) return;
  }
}

std::string NcclTransfer::find_failure() {
  if (const std::optional<std::string> why = place_.why_closed()) return *why;
  try {
    TOVAMILL_CUDA(cudaSetDevice(device_));  // else a new thread's is the first
    for (End* end : {&incoming_, &outgoing_}) {
      if (!end->link) continue;
      const std::string which =
          end == &incoming_ ? "rows of the stage before: " : "rows to the next stage: ";
      if (const std::string why = end->link->failure(); !why.empty()) return "NCCL: " + which + why;
      if (stands_still(*end))
        return "NCCL: " + which + "nothing has gone for " +
               std::to_string(static_cast<int>(place_.timeout_s)) + " s";
    }
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

// Whether what had been called when the thread last looked anew is not through after so long. A
// link without calls waits for nothing.
bool NcclTransfer::stands_still(End& end) const {
  if (end.since) {
    if (!end.watched.is_reached())
      return std::chrono::duration<double>(Clock::now() - *end.since).count() > place_.timeout_s;
    end.since.reset();
  }
  const std::uint64_t n_called = end.n_called;
  if (n_called == end.n_watched) return false;
  end.watched.record(end.stream);
  end.n_watched = n_called;
  end.since = Clock::now();
  return false;
}

}  // namespace tovamill::cuda
