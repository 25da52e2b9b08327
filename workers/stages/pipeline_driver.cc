#include "workers/stages/pipeline_driver.h"

#include <algorithm>
#include <utility>

namespace tovamill {
namespace {

constexpr double kTimeoutSteps = 30.0;

}  // namespace

PipelineDriver::~PipelineDriver() {
  try {
    channel_.send(1, encode_end());
  } catch (const Error&) {
    // They are gone, or have been told otherwise.
  }
}

std::vector<StageReady> PipelineDriver::wait_until_ready() {
  // They may read and pack large weights, and say so themselves where they cannot.
  const double timeout = std::exchange(timeout_s_, 0.0);
  std::vector<StageReady> ready;
  for (const std::vector<std::byte>& bytes : wait_for(0)) ready.push_back(unpack_ready(bytes));
  timeout_s_ = timeout;
  return ready;
}

// All or none: a stage group in which some rows go in messages is as slow as these.
std::string PipelineDriver::link(Forward& forward, const StagePlace& place) {
  std::string why;
  const std::optional<NcclGroupId> id = make_nccl_group_id(why);
  if (!id) return why;
  tell(link_order(id));
  why = forward.link(links_of(place, std::nullopt, id));
  for (const std::vector<std::byte>& answer : wait_for(n_sent_)) {
    if (why.empty()) why.assign(reinterpret_cast<const char*>(answer.data()), answer.size());
  }
  if (why.empty()) return why;
  forward.unlink();
  tell({.kind = StageKind::unlink});
  return why;
}

void PipelineDriver::measured(double step_s) {
  timeout_s_ = std::max(timeout_s_, kTimeoutSteps * step_s);
}

std::uint64_t PipelineDriver::send(StageStep step) {
  step.number = ++n_sent_;
  channel_.send(1, encode(step));
  return step.number;
}

void PipelineDriver::tell(StateOrder order) {
  order.number = ++n_sent_;
  channel_.send(1, encode(order));
}

std::vector<std::vector<std::byte>> PipelineDriver::ask(StateOrder order) {
  tell(std::move(order));
  return wait_for(n_sent_);
}

std::vector<std::vector<std::byte>> PipelineDriver::wait_for(std::uint64_t number) {
  while (answers_[number].n < n_stages() - 1) receive_answer();
  std::vector<std::vector<std::byte>> answers = std::move(answers_[number].by_stage);
  answers_.erase(number);
  return answers;
}

// One that failed is thrown at once: what it was the answer to need not be waited for.
void PipelineDriver::receive_answer() {
  const StageMessage m = channel_.receive(timeout_s_);
  StageAnswer answer = decode_answer(m.message);
  Answers& all = answers_[answer.number];
  all.by_stage.resize(static_cast<std::size_t>(n_stages() - 1));
  all.by_stage.at(static_cast<std::size_t>(m.stage - 1)) = std::move(answer.bytes);
  ++all.n;
}

}  // namespace tovamill
