#include "workers/stages/stage_worker.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string>

namespace tovamill {

StageWorker::StageWorker(const Model& model, Backend& backend, Forward& forward,
                         const StagePlace& place)
    : model_(model),
      backend_(backend),
      forward_(forward),
      place_(place),
      channel_(*place.channel) {}

// Steps that have arrived are submitted as long as the device takes them.
void StageWorker::serve() {
  while (!is_over_) {
    const bool is_full = in_flight_.size() == static_cast<std::size_t>(forward_.max_in_flight());
    if (!in_flight_.empty() && (is_full || !channel_.has_message())) {
      collect();
    } else {
      handle(channel_.receive(0.0));
    }
  }
}

void StageWorker::handle(const StageMessage& m) {
  const StageKind kind = stage_kind_of(m.message);
  if (kind == StageKind::step) return submit(m.message);
  while (!in_flight_.empty()) collect();
  if (kind == StageKind::link) return link(decode_order(m.message));
  send_on(m.message);
  if (kind == StageKind::end) {
    is_over_ = true;
  } else {
    execute(decode_order(m.message));
  }
}

// The next stage is offered a link first, so that all of them come at once.
void StageWorker::link(const StateOrder& order) {
  const std::optional<NcclGroupId> before = link_id(order);
  std::optional<NcclGroupId> behind;
  std::string why;
  if (channel_.stage() + 1 < channel_.n_stages()) {
    behind = make_nccl_group_id(why);
    StateOrder offer = link_order(behind);
    offer.number = order.number;
    send_on(encode(offer));
  }
  if (!before) why = "the stage before offers no link";
  if (why.empty()) why = forward_.link(links_of(place_, before, behind));
  if (!why.empty())
    why = "rank " + std::to_string(place_.rank) + ", stage " + std::to_string(channel_.stage()) +
          ": " + why;
  answer(order.number, std::as_bytes(std::span(why)));
}

void StageWorker::send_on(Message message) {
  if (channel_.stage() + 1 < channel_.n_stages())
    channel_.send(channel_.stage() + 1, std::move(message));
}

void StageWorker::answer(std::uint64_t number, std::span<const std::byte> bytes) {
  channel_.send(0, encode_done(number, bytes));
}

void StageWorker::answer_failed(std::uint64_t number, const Error& error, bool is_out_of_memory) {
  const std::string text =
      "rank " + std::to_string(place_.rank) + ", stage " + std::to_string(channel_.stage()) +
      " (layers " + std::to_string(model_.range.first) + "-" +
      std::to_string(model_.range.first + model_.range.n - 1) + "): " + error.what();
  channel_.send(0, encode_failed(number, Error(error.code(), text), is_out_of_memory));
}

StreamState& StageWorker::state(std::uint64_t number) {
  const auto at = states_.find(number);
  if (at == states_.end())
    throw Error(ExitCode::internal, "stage 0 names a state that there is not");
  return *at->second;
}

void StageWorker::submit(const Message& m) {
  StageStep step = decode_step(m);
  InFlight u;
  for (StageBlock& b : step.blocks) {
    b.block.state = &state(b.state);
    u.blocks.push_back(b.block);
  }
  forward_.transfer().put_message(step.rows);
  no_ids_.assign(static_cast<std::size_t>(step.n_rows), 0);
  StepInput input{.blocks = u.blocks, .ids = no_ids_};
  if (model_.range.has_head()) {
    const auto vocab = static_cast<std::size_t>(model_.config.shape.vocab_size);
    u.logits.resize(step.logit_rows.size() * vocab);
    input.targets = step.targets;
    input.logit_rows = step.logit_rows;
    input.take_logits = [to = u.logits.data(), vocab](std::size_t i, std::span<float> logits) {
      std::copy(logits.begin(), logits.end(), to + i * vocab);
    };
    u.argmax.resize(step.argmax_rows.size());
    input.argmax_rows = step.argmax_rows;
    input.take_argmax = [to = u.argmax.data()](std::size_t i, std::int32_t id) { to[i] = id; };
  }
  try {
    forward_.submit(input);
  } catch (const OutOfMemory& e) {
    forward_.transfer().miss();
    return answer_failed(step.number, e, true);
  } catch (const std::bad_alloc&) {
    forward_.transfer().miss();
    return answer_failed(step.number, OutOfMemory("out of memory"), true);
  }
  if (!model_.range.has_head()) {
    const std::vector<std::byte> rows = forward_.transfer().take_message();
    step.rows = rows;
    send_on(encode(step));
  }
  step.rows = {};
  u.step = std::move(step);
  in_flight_.push_back(std::move(u));  // its arrays stay where they are
}

void StageWorker::collect() {
  InFlight& u = in_flight_.front();
  const StepOutput output = forward_.collect();
  StageStepDone done;
  done.events.assign(output.events.begin(), output.events.end());
  for (const StepBlock& b : u.blocks)
    done.positions.push_back(b.asks_positions ? backend_.read_all_positions(*b.state)
                                              : HeldPositions{});
  if (model_.range.has_head() && !u.step.targets.empty())
    done.nll.assign(output.nll.begin(), output.nll.end());
  done.logits = std::move(u.logits);
  done.argmax = std::move(u.argmax);
  answer(u.step.number, pack(done));
  in_flight_.pop_front();
}

void StageWorker::execute(const StateOrder& o) {
  try {
    if (o.kind == StageKind::release) {
      states_.erase(o.state);
    } else if (o.kind == StageKind::unlink) {
      forward_.unlink();
    } else if (o.kind == StageKind::reset) {
      backend_.reset(state(o.state));
    } else {
      answer(o.number, answer_to(o));
    }
  } catch (const OutOfMemory& e) {
    answer_failed(o.number, e, true);
  } catch (const BadData& e) {
    answer_failed(o.number, e, false);
  } catch (const std::bad_alloc&) {
    answer_failed(o.number, OutOfMemory("out of memory"), true);
  }
}

std::vector<std::byte> StageWorker::answer_to(const StateOrder& o) {
  std::vector<std::byte> bytes;
  switch (o.kind) {
    case StageKind::make:
      states_[o.state] = backend_.make_state();
      return bytes;
    case StageKind::reserve:
      backend_.reserve(state(o.state), o.n_tokens, o.keeps_all);
      return bytes;
    case StageKind::copy:
      backend_.copy(state(o.state), state(o.other));
      return bytes;
    case StageKind::save:
      backend_.save(state(o.state), bytes);
      return bytes;
    case StageKind::load: {
      const std::int64_t at =
          backend_.load(state(o.state), o.parts.at(static_cast<std::size_t>(channel_.stage())));
      bytes.resize(sizeof at);
      std::memcpy(bytes.data(), &at, sizeof at);
      return bytes;
    }
    case StageKind::positions:
      return pack(backend_.read_all_positions(state(o.state)));
    default:
      throw Error(ExitCode::internal, "stage 0 orders what there is not");
  }
}

}  // namespace tovamill
