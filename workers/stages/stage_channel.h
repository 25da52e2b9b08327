// What the computing thread of a stage has of the other stages of its group: messages of any size,
// in order between any two.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>

#include "kernels/activation_transfer.h"
#include "pipeline/distributed/channel.h"

namespace tovamill {

struct StageMessage {
  int stage = 0;  // where it comes from, or goes to
  Message message;
};

class StageChannel;

// Where a rank stands in its group.
struct StagePlace {
  int rank = 0;
  int stage = 0, n_stages = 1;
  StageChannel* channel = nullptr;  // null where there is one stage only
  bool on_own_gpus = false;         // each stage of the group has a GPU of its own
  double timeout_s = 400.0;         // whoever does not answer for so long stands still
  double link_s = 60.0;  // in which each link of rows must come about, all stages being there
};

// What links this stage to the one before and the one behind, where there is one.
ActivationLinksPlace links_of(const StagePlace& place, const std::optional<NcclGroupId>& before,
                              const std::optional<NcclGroupId>& behind);

class StageChannel {
 public:
  virtual ~StageChannel() = default;
  virtual int stage() const = 0;
  virtual int n_stages() const = 0;
  // Never waits. Throws StageLost once the channel is closed.
  virtual void send(int stage, Message message) = 0;
  // Waits, at most so long (0: without end). Throws StageLost once the channel is closed, or the
  // time is over.
  virtual StageMessage receive(double most_seconds) = 0;
  virtual bool has_message() const = 0;
  // Why the channel was closed, if it was. May be asked by any thread.
  virtual std::optional<std::string> why_closed() const = 0;
  // Whoever waits is told why, and nothing is sent any more. The first reason counts. Any thread
  // may close it.
  virtual void close(const std::string& why) = 0;
};

// A channel whose other end is the communication thread: every call may come from any thread and,
// `receive` and `wait_to_send` aside, holds the lock for a moment only.
class StageMailbox : public StageChannel {
 public:
  StageMailbox(int stage, int n_stages) : stage_(stage), n_stages_(n_stages) {}

  // --- the thread that computes
  int stage() const override { return stage_; }
  int n_stages() const override { return n_stages_; }
  void send(int stage, Message message) override;
  StageMessage receive(double most_seconds) override;
  bool has_message() const override;
  std::optional<std::string> why_closed() const override;
  void close(const std::string& why) override;

  // --- the communication thread
  void deliver(int stage, Message message);
  std::optional<StageMessage> take_to_send();
  // Until there is something to send, at most so long.
  void wait_to_send(double most_seconds);
  bool is_closed() const;

 private:
  const int stage_, n_stages_;
  mutable std::mutex mutex_;
  std::condition_variable arrived_, leaving_;
  std::deque<StageMessage> inbox_, outbox_;
  std::optional<std::string> closed_;
};

}  // namespace tovamill
