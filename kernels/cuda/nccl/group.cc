#include "kernels/cuda/nccl/group.h"

#include <nccl.h>

#include <cstring>
#include <memory>
#include <vector>

#include "kernels/cuda/nccl/communicator.h"

namespace tovamill {

std::optional<NcclGroupId> make_nccl_group_id(std::string& why) {
  ncclUniqueId id;
  static_assert(sizeof(id.internal) == sizeof(NcclGroupId::bytes));
  const ncclResult_t result = ncclGetUniqueId(&id);
  if (result != ncclSuccess) {
    why = std::string("NCCL: ") + ncclGetErrorString(result);
    return std::nullopt;
  }
  NcclGroupId made;
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

class NcclGroup final : public Group {
 public:
  NcclGroup(const NcclGroupPlace& place, const Stream& stream)
      : place_(place),
        stream_(stream),
        communicator_(place.timeout_s),
        host_(sizeof place.content) {}
  // Waits for no other rank: what is broken off first ends, so that the stream can be waited for,
  // and only then may memory go that it uses.
  ~NcclGroup() override {
    communicator_.abort();
    stream_.drain();
    device_free(device_);
  }
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;

  void join() {
    device_ = device_malloc(host_.size());
    communicator_.join(place_.id, place_.rank, place_.n_ranks);
    check_content();
  }

  bool reads() const override { return place_.rank == 0; }

  void broadcast(void* data, std::size_t n_bytes, const std::string& what) override {
    communicator_.run(
        [&](ncclComm_t c) {
          return ncclBroadcast(data, data, n_bytes, ncclUint8, 0, c, stream_.get());
        },
        what);
    in_flight_.push_back({what, std::make_unique<Event>()});
    in_flight_.back().arrived->record(stream_);
  }

  // The rank that reads may take long for all of them, but not for one.
  void finish() override {
    for (const Part& part : in_flight_)
      communicator_.wait(*part.arrived, part.what + " does not arrive");
    communicator_.finish();
  }

 private:
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
    communicator_.wait(compared, "the ranks' model");
    if (std::memcmp(host_.data(), &place_.content, host_.size()) != 0)
      throw NcclGroupError(
          "this rank's model, dtype or program is another than that of the rank that "
          "reads");
  }

  struct Part {
    std::string what;
    std::unique_ptr<Event> arrived;
  };

  NcclGroupPlace place_;
  const Stream& stream_;
  std::vector<Part> in_flight_;
  Communicator communicator_;
  PinnedMemory host_;
  void* device_ = nullptr;
};

}  // namespace

std::unique_ptr<Group> join_group(const NcclGroupPlace& place, const Stream& stream) {
  auto group = std::make_unique<NcclGroup>(place, stream);
  group->join();
  return group;
}

}  // namespace tovamill::cuda
