// What stage 0 has sent to the other stages and what these have answered.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/model/forward.h"
#include "workers/stages/stage_channel.h"
#include "workers/stages/stage_messages.h"

namespace tovamill {

class PipelineDriver {
 public:
  // Who does not answer for `timeout_s` stands still. The channel outlives this.
  PipelineDriver(StageChannel& channel, double timeout_s)
      : channel_(channel), timeout_s_(timeout_s) {}
  ~PipelineDriver();  // lets the other stages go

  int n_stages() const { return channel_.n_stages(); }
  // A step has taken so long here: who takes much longer than that there stands still.
  void measured(double step_s);
  // What all stages but this one are, by stage; waits until their layers are loaded.
  std::vector<StageReady> wait_until_ready();
  // Links all stages, `forward` running stage 0's layers at `place`. Empty, or why rows go in
  // messages.
  std::string link(Forward& forward, const StagePlace& place);
  // Sends a step to stage 1; its number is set here, and returned.
  std::uint64_t send(StageStep step);
  // The same of what is not answered.
  void tell(StateOrder order);
  // The answers of all stages but this one, by stage. Throws what failed there, and StageLost.
  std::vector<std::vector<std::byte>> ask(StateOrder order);
  // The same for a step.
  std::vector<std::vector<std::byte>> wait_for(std::uint64_t number);

 private:
  void receive_answer();

  StageChannel& channel_;
  double timeout_s_;
  std::uint64_t n_sent_ = 0;
  struct Answers {
    std::vector<std::vector<std::byte>> by_stage;
    int n = 0;
  };
  std::map<std::uint64_t, Answers> answers_;  // by number
};

}  // namespace tovamill
