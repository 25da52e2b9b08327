#include "kernels/cuda/nccl/link.h"

#include <cstring>

namespace tovamill::cuda {
namespace {

// Thread blocks of a transfer. One that waits for the other end keeps its blocks waiting, and these
// their multiprocessors, which the other lane is to have. By a direct connection of GPUs a block
// moves some 20 GB/s: the rows of 8,192 tokens of a 7B model, 134 MB, take about 2 ms, a layer of
// theirs 5 ms.
constexpr int kMostBlocks = 4;
constexpr int kSender = 0, kReceiver = 1;  // ranks of the communicator

}  // namespace

Link::Link(const LinkPlace& place, const Stream& stream)
    : stream_(stream), communicator_(place.timeout_s, place.on_poll), host_(sizeof place.content) {}

Link::~Link() {
  communicator_.abort();
  stream_.drain();
  device_free(device_);
}

// NCCL connects two ranks when the first bytes go, and the calls of both return only then. A
// stage's rows are on their way before the other knows of them, so it must be done before.
void Link::join(const LinkPlace& place) {
  device_ = device_malloc(host_.size());
  communicator_.join(place.id, place.sends ? kSender : kReceiver, 2, kMostBlocks);
  std::memcpy(host_.data(), &place.content, host_.size());
  if (place.sends) {
    copy(device_, host_.data(), cudaMemcpyHostToDevice);
    send(device_, host_.size());
  } else {
    receive(device_, host_.size());
    copy(host_.data(), device_, cudaMemcpyDeviceToHost);
  }
  const Event arrived;
  arrived.record(stream_);
  communicator_.wait(arrived, "the other stage does not come");
  if (std::memcmp(host_.data(), &place.content, host_.size()) != 0)
    throw NcclGroupError("the other stage is of another model");
}

void Link::send(const void* data, std::size_t n_bytes) {
  communicator_.run(
      [&](ncclComm_t c) { return ncclSend(data, n_bytes, ncclUint8, kReceiver, c, stream_.get()); },
      "rows to the next stage");
}

void Link::receive(void* data, std::size_t n_bytes) {
  communicator_.run(
      [&](ncclComm_t c) { return ncclRecv(data, n_bytes, ncclUint8, kSender, c, stream_.get()); },
      "rows of the stage before");
}

void Link::copy(void* to, const void* from, cudaMemcpyKind kind) {
  TOVAMILL_CUDA(cudaMemcpyAsync(to, from, host_.size(), kind, stream_.get()));
}

}  // namespace tovamill::cuda
