#include "tests/support/cuda_emulation/nccl.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/support/cuda_emulation/streams.h"

namespace {

using namespace tovamill::emulation;

// What one rank has called for: a send or a receive.
struct Transfer {
  const void* from = nullptr;
  void* to = nullptr;
  std::size_t n = 0;
  bool has_begun = false, is_done = false;
};

}  // namespace

// Outlived by what it has in streams.
struct CommunicatorState {
  bool is_aborted = false;
  ncclResult_t result = ncclInProgress;  // as one that is not blocking begins
  std::deque<std::shared_ptr<Transfer>> transfers;
};

struct ncclComm {
  std::string id;
  int rank = 0;
  int n_broadcasts = 0;
  std::map<std::pair<int, int>, int> n_transfers;  // by sender and receiver
  std::shared_ptr<CommunicatorState> state = std::make_shared<CommunicatorState>();
};

namespace {

int n_alive = 0, n_broadcasts = 0, first_broken = 0, n_sent = 0, first_broken_send = 0;
SendFault send_fault = SendFault::stands_still;
bool makes_ids = true;
// What the rank that reads has sent, by group and number.
std::map<std::pair<std::string, int>, std::vector<std::byte>> sent;
// Sends and receives that belong together: by group, sender, receiver and number.
struct Meeting {
  std::shared_ptr<Transfer> send, receive;
};
std::map<std::tuple<std::string, int, int, int>, Meeting> meetings;

// Both have begun: the bytes go.
bool meet(const Meeting& m) {
  if (!m.send || !m.receive || !m.send->has_begun || !m.receive->has_begun) return false;
  if (m.send->n != m.receive->n) {
    std::fprintf(stderr, "NCCL emulation: %zu bytes are sent and %zu received\n", m.send->n,
                 m.receive->n);
    std::abort();
  }
  if (!m.send->is_done) std::memcpy(m.receive->to, m.send->from, m.send->n);
  return m.send->is_done = m.receive->is_done = true;
}

ncclResult_t transfer(const std::shared_ptr<Transfer>& own, int sender, int receiver,
                      ncclComm_t communicator, cudaStream_t stream) {
  const auto lock = lock_machine();
  const bool is_send = communicator->rank == sender;
  const bool is_broken = is_send && ++n_sent >= first_broken_send && first_broken_send > 0;
  const int number = communicator->n_transfers[{sender, receiver}]++;
  Meeting& meeting = meetings[{communicator->id, sender, receiver, number}];
  (is_send ? meeting.send : meeting.receive) = own;
  const std::shared_ptr<CommunicatorState> state = communicator->state;
  state->transfers.push_back(own);
  enqueue(
      stream, [=] { std::erase(state->transfers, own); },
      [=, &meeting] {
        if (state->is_aborted || own->is_done) return true;
        if (is_broken && send_fault == SendFault::error) state->result = ncclRemoteError;
        if (is_broken || state->transfers.front() != own) return false;
        own->has_begun = true;
        return meet(meeting);
      });
  if (state->result == ncclSuccess) state->result = ncclInProgress;
  return ncclInProgress;
}

}  // namespace

namespace tovamill::emulation {

void refuse_ids(bool refuses) { makes_ids = !refuses; }
void break_broadcasts(int n) {
  first_broken = n;
  n_broadcasts = 0;
}
void break_sends(int n, SendFault how) {
  const auto lock = lock_machine();
  first_broken_send = n;
  send_fault = how;
  n_sent = 0;
}
int n_sends() {
  const auto lock = lock_machine();
  return n_sent;
}
int n_communicators() {
  const auto lock = lock_machine();
  return n_alive;
}

}  // namespace tovamill::emulation

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const auto lock = lock_machine();
  if (!makes_ids) return ncclSystemError;
  static int n_made = 0;
  std::memset(id->internal, 0, sizeof id->internal);
  const std::string text = "group " + std::to_string(++n_made);
  std::memcpy(id->internal, text.data(), text.size());
  return ncclSuccess;
}

ncclResult_t ncclGetVersion(int* version) { return *version = 22809, ncclSuccess; }

const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclRemoteError ? "remote process exited or there was a network error"
                                   : "emulated error";
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* communicator, int, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  const auto lock = lock_machine();
  *communicator = new ncclComm{.id = id.internal, .rank = rank, .n_transfers = {}};
  ++n_alive;
  return config->blocking != 0 ? ncclSuccess : ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t communicator, ncclResult_t* result) {
  const auto lock = lock_machine();
  *result = communicator->state->result;
  if (*result == ncclInProgress) communicator->state->result = ncclSuccess;
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t communicator) {
  const auto lock = lock_machine();
  communicator->state->result = ncclInProgress;
  return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t communicator) {
  const auto lock = lock_machine();
  --n_alive;
  delete communicator;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t communicator) {
  const auto lock = lock_machine();
  communicator->state->is_aborted = true;
  for (const auto& t : communicator->state->transfers) t->has_begun = false;
  return ncclCommDestroy(communicator);
}

ncclResult_t ncclBroadcast(const void* from, void* to, std::size_t n, ncclDataType_t, int root,
                           ncclComm_t communicator, cudaStream_t stream) {
  const auto lock = lock_machine();
  if (first_broken > 0 && ++n_broadcasts >= first_broken) {
    communicator->state->result = ncclRemoteError;
    return ncclInProgress;
  }
  const std::pair<std::string, int> key{communicator->id, communicator->n_broadcasts++};
  if (communicator->rank == root) {
    enqueue(stream, [=] {
      const auto* bytes = static_cast<const std::byte*>(from);
      sent[key].assign(bytes, bytes + n);
    });
    return ncclSuccess;
  }
  const auto found = sent.find(key);
  if (found == sent.end() || found->second.size() != n) return ncclSystemError;
  enqueue(stream, [=, bytes = found->second] { std::memcpy(to, bytes.data(), n); });
  return ncclSuccess;
}

ncclResult_t ncclSend(const void* from, std::size_t n, ncclDataType_t, int peer,
                      ncclComm_t communicator, cudaStream_t stream) {
  return transfer(std::make_shared<Transfer>(Transfer{.from = from, .n = n}), communicator->rank,
                  peer, communicator, stream);
}

ncclResult_t ncclRecv(void* to, std::size_t n, ncclDataType_t, int peer, ncclComm_t communicator,
                      cudaStream_t stream) {
  return transfer(std::make_shared<Transfer>(Transfer{.to = to, .n = n}), peer, communicator->rank,
                  communicator, stream);
}
