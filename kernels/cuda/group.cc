#include "kernels/cuda/group.h"

#include <nccl.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace tovamill {

std::optional<GpuGroupId> make_gpu_group_id(std::string& why) {
  ncclUniqueId id;
  static_assert(sizeof(id.internal) == sizeof(GpuGroupId::bytes));
  const ncclResult_t result = ncclGetUniqueId(&id);
  if (result != ncclSuccess) {
    why = std::string("NCCL: ") + ncclGetErrorString(result);
    return std::nullopt;
  }
  GpuGroupId made;
  std::memcpy(made.bytes.data(), id.internal, made.bytes.size());
  return made;
}

std::string nccl_version() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return "";
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

}  // namespace tovamill

namespace tovamill::cuda {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPause = std::chrono::microseconds(200);

class NcclGroup final : public Group {
 public:
  NcclGroup(const GpuGroupPlace& place, const Stream& stream)
      : place_(place), stream_(stream), host_(sizeof place.content) {}
  // Waits for no other rank: what is broken off first ends, so that the stream can be waited for,
  // and only then may memory go that it uses.
  ~NcclGroup() override {
    if (communicator_ != nullptr) {
      ncclCommAbort(communicator_);
      cudaStreamSynchronize(stream_.get());
    }
    device_free(device_);
  }
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;

  void join() {
    device_ = device_malloc(host_.size());
    ncclUniqueId id;
    std::memcpy(id.internal, place_.id.bytes.data(), sizeof(id.internal));
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;  // so that a rank that never comes cannot hold this one
    settle(ncclCommInitRankConfig(&communicator_, place_.n_ranks, id, place_.rank, &config),
           "the ranks do not all come");
    check_content();
  }

  bool reads() const override { return place_.rank == 0; }

  void broadcast(void* data, std::size_t n_bytes, const std::string& what) override {
    settle(ncclBroadcast(data, data, n_bytes, ncclUint8, 0, communicator_, stream_.get()), what);
    under_way_.push_back({what, std::make_unique<Event>()});
    under_way_.back().arrived->record(stream_);
  }

  void finish() override {
    for (const Part& part : under_way_) wait(*part.arrived, part.what + " does not arrive");
    settle(ncclCommFinalize(communicator_), "the end");
    const ncclResult_t result = ncclCommDestroy(communicator_);
    communicator_ = nullptr;
    if (result != ncclSuccess) throw GpuGroupError(ncclGetErrorString(result));
  }

 private:
  // Until the call that gave `result` is done.
  void settle(ncclResult_t result, const std::string& what) {
    const auto start = Clock::now();
    while (result == ncclInProgress) {
      check_patience(start, what);
      std::this_thread::sleep_for(kPause);
      const ncclResult_t asked = ncclCommGetAsyncError(communicator_, &result);
      if (asked != ncclSuccess) result = asked;
    }
    if (result != ncclSuccess) throw GpuGroupError(what + ": " + ncclGetErrorString(result));
  }

  // The rank that reads may take long for all of them, but not for one.
  void wait(const Event& arrived, const std::string& what) {
    const auto start = Clock::now();
    while (true) {
      const cudaError_t state = cudaEventQuery(arrived.get());
      if (state == cudaSuccess) return;
      if (state != cudaErrorNotReady) check(state, "cudaEventQuery", what);
      ncclResult_t result = ncclSuccess;
      ncclCommGetAsyncError(communicator_, &result);
      if (result != ncclSuccess && result != ncclInProgress)
        throw GpuGroupError(what + ": " + ncclGetErrorString(result));
      check_patience(start, what);
      std::this_thread::sleep_for(kPause);
    }
  }

  void check_patience(Clock::time_point start, const std::string& what) const {
    const std::chrono::duration<double> gone = Clock::now() - start;
    if (gone.count() > place_.patience_s)
      throw GpuGroupError(what + ": nothing has come for " +
                          std::to_string(static_cast<int>(place_.patience_s)) + " s");
  }

  // Matrices of other sizes would never arrive.
  void check_content() {
    std::memcpy(host_.data(), &place_.content, host_.size());
    check(
        cudaMemcpyAsync(device_, host_.data(), host_.size(), cudaMemcpyHostToDevice, stream_.get()),
        "cudaMemcpyAsync");
    broadcast(device_, host_.size(), "the ranks' model");
    check(
        cudaMemcpyAsync(host_.data(), device_, host_.size(), cudaMemcpyDeviceToHost, stream_.get()),
        "cudaMemcpyAsync");
    const Event compared;
    compared.record(stream_);
    wait(compared, "the ranks' model");
    if (std::memcmp(host_.data(), &place_.content, host_.size()) != 0)
      throw GpuGroupError(
          "this rank's model, dtype or program is another than that of the rank that "
          "reads");
  }

  struct Part {
    std::string what;
    std::unique_ptr<Event> arrived;
  };

  GpuGroupPlace place_;
  const Stream& stream_;
  std::vector<Part> under_way_;
  ncclComm_t communicator_ = nullptr;
  PinnedMemory host_;
  void* device_ = nullptr;
};

}  // namespace

std::unique_ptr<Group> join_group(const GpuGroupPlace& place, const Stream& stream) {
  auto group = std::make_unique<NcclGroup>(place, stream);
  group->join();
  return group;
}

}  // namespace tovamill::cuda
