#include "tests/support/cuda_emulation/streams.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <utility>

namespace tovamill::emulation {
namespace {

// What each takes by the clock of the emulation: so long that measurements are content with a few.
constexpr float kOperationMs = 100.0f;
constexpr auto kThreadPause = std::chrono::microseconds(50);

bool is_eager = false;
std::uint64_t n_done = 0;
StreamCounts counts;
std::mt19937_64 random_order(1);

std::vector<EmulatedStream*>& streams() {
  static std::vector<EmulatedStream*> all;
  return all;
}

EmulatedStream& of(cudaStream_t stream) {
  static EmulatedStream default_stream;
  return stream != nullptr ? *stream : default_stream;
}

bool can_go_on(const EmulatedStream& stream) {
  if (stream.waiting.empty()) return false;
  const Operation& next = stream.waiting.front();
  if (next.may_begin) return next.may_begin();
  return next.awaited == nullptr || next.awaited->n_reached >= next.recording;
}

bool waits_for_a_thread(const EmulatedStream& stream) {
  return !stream.waiting.empty() && stream.waiting.front().may_begin;
}

void do_next(EmulatedStream& stream) {
  const Operation next = std::move(stream.waiting.front());
  stream.waiting.pop_front();
  next.work();
  ++n_done;
}

// Does an operation of any stream; false where all that is left waits for another thread.
bool work() {
  static std::vector<EmulatedStream*> ready;
  ready.clear();
  std::copy_if(streams().begin(), streams().end(), std::back_inserter(ready),
               [](const EmulatedStream* s) { return can_go_on(*s); });
  if (!ready.empty()) {
    do_next(*ready[random_order() % ready.size()]);
    return true;
  }
  if (std::none_of(streams().begin(), streams().end(),
                   [](const EmulatedStream* s) { return waits_for_a_thread(*s); })) {
    std::fprintf(stderr, "CUDA emulation: streams wait for each other for ever\n");
    std::abort();
  }
  return false;
}

// Does operations of any streams until `is_reached`.
template <class Condition>
void work_until(Condition&& is_reached) {
  auto lock = lock_machine();
  while (!is_reached()) {
    if (work()) continue;
    lock.unlock();
    std::this_thread::sleep_for(kThreadPause);
    lock.lock();
  }
}

void work_until_empty(const EmulatedStream& stream) {
  work_until([&] { return stream.waiting.empty(); });
}

}  // namespace

std::unique_lock<std::recursive_mutex> lock_machine() {
  static std::recursive_mutex mutex;
  return std::unique_lock(mutex);
}

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
  const auto lock = lock_machine();
  if (!take_operation()) return cudaErrorIllegalAddress;
  EmulatedStream& s = of(stream);
  if (s.captured != nullptr) {
    s.captured->work.push_back(std::move(work));
    return cudaSuccess;
  }
  s.waiting.push_back({std::move(work)});
  if (is_eager) work_until_empty(s);
  return cudaSuccess;
}

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work,
                    std::function<bool()> may_begin) {
  const auto lock = lock_machine();
  EmulatedStream& s = of(stream);
  if (s.captured != nullptr) {
    s.is_spoilt = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  s.waiting.push_back({.work = std::move(work), .may_begin = std::move(may_begin)});
  return cudaSuccess;
}

void work_off() {
  const auto lock = lock_machine();
  const auto is_empty = [](const EmulatedStream* s) { return s->waiting.empty(); };
  while (!std::all_of(streams().begin(), streams().end(), is_empty) && work()) continue;
}

void set_eager(bool eager) { is_eager = eager; }
void set_stream_order(std::uint64_t seed) { random_order.seed(seed); }
StreamCounts take_stream_counts() {
  const auto lock = lock_machine();
  return std::exchange(counts, {});
}

}  // namespace tovamill::emulation

using namespace tovamill::emulation;

EmulatedStream::EmulatedStream() {
  const auto lock = lock_machine();
  streams().push_back(this);
}
EmulatedStream::~EmulatedStream() {
  const auto lock = lock_machine();
  std::erase(streams(), this);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return *stream = new EmulatedStream, cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  work_until_empty(of(stream));
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  EmulatedStream& s = of(stream);
  {
    const auto lock = lock_machine();
    if (s.captured != nullptr) {
      s.is_spoilt = true;
      return cudaErrorStreamCaptureUnsupported;
    }
    ++counts.n_waits;
  }
  work_until_empty(s);
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const auto lock = lock_machine();
  EmulatedStream& s = of(stream);
  if (s.captured != nullptr) {
    s.is_spoilt = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  s.waiting.push_back({[] {}, event->recordings, event->recordings->n_recorded});
  if (is_eager) work_until_empty(s);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return *event = new EmulatedEvent, cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const auto lock = lock_machine();
  EmulatedStream& s = of(stream);
  if (s.captured != nullptr) {
    s.is_spoilt = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  const std::uint64_t recording = ++event->recordings->n_recorded;
  return enqueue(stream, [recordings = event->recordings, recording] {
    recordings->n_reached = recording;
    recordings->when = n_done;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  auto lock = lock_machine();
  ++counts.n_waits;
  const std::shared_ptr<const Recordings> recordings = event->recordings;
  const std::uint64_t recording = recordings->n_recorded;
  lock.unlock();
  work_until([&] { return recordings->n_reached >= recording; });
  return cudaSuccess;
}

// While it is asked again and again the device goes on.
cudaError_t cudaEventQuery(cudaEvent_t event) {
  const auto lock = lock_machine();
  const Recordings& r = *event->recordings;
  if (r.n_reached == r.n_recorded) return cudaSuccess;
  work();
  return cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to) {
  for (const cudaEvent_t e : {from, to}) {
    if (e->recordings->n_recorded == 0) return cudaErrorInvalidValue;
    if (cudaEventQuery(e) != cudaSuccess) return cudaErrorNotReady;
  }
  *ms = kOperationMs * static_cast<float>(static_cast<std::int64_t>(to->recordings->when) -
                                          static_cast<std::int64_t>(from->recordings->when));
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const auto lock = lock_machine();
  EmulatedStream& s = of(stream);
  if (s.captured != nullptr) return cudaErrorInvalidValue;
  s.captured = std::make_unique<EmulatedGraph>();
  s.is_spoilt = false;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const auto lock = lock_machine();
  EmulatedStream& s = of(stream);
  *graph = nullptr;
  if (s.captured == nullptr) return cudaErrorInvalidValue;
  const std::unique_ptr<EmulatedGraph> captured = std::move(s.captured);
  if (s.is_spoilt) return cudaErrorStreamCaptureUnsupported;
  *graph = new EmulatedGraph(*captured);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  const auto lock = lock_machine();
  ++counts.n_graphs_made;
  return *exec = new EmulatedGraph(*graph), cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return delete exec, cudaSuccess; }

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  const auto lock = lock_machine();
  ++counts.n_graphs_launched;
  for (const std::function<void()>& work : exec->work) enqueue(stream, work);
  return cudaSuccess;
}
