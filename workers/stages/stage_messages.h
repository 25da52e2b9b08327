// What the stages of a group say to each other. Steps and orders go from each stage to the one
// behind it, in order; every stage answers stage 0 directly. All little-endian.
//
//   u8 kind, varint number, then by kind:
//   step: what StageStep holds, its rows last; made anew by each stage for the next
//   orders about states, and unlink: what StateOrder holds; passed on as they are
//   link: the same; each stage offers the next a link of its own
//   end: nothing
//   done (an answer): bytes, by what was ordered
//   failed (an answer): u8 out of memory, varint exit code, text
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/model/step_runner.h"
#include "kernels/nccl_group.h"
#include "kernels/types/error.h"
#include "pipeline/distributed/channel.h"

namespace tovamill {

enum class StageKind : std::uint8_t {
  step,
  make,     // a state; answered
  release,  // of a state
  reset,
  reserve,    // answered
  copy,       // answered
  save,       // answered with the bytes of StateKeeper::save
  load,       // answered with i64, the position that the stream goes on at
  positions,  // answered as a block's in StageStepDone
  link,       // to the stages before and behind, by the id in `parts`; answered with why not
  unlink,     // rows go in messages: not all stages are linked
  end,        // the group has no more to do
  done,
  failed,
};

struct StageBlock {
  std::uint64_t state = 0;  // its number
  StepBlock block;          // without its state
};

struct StageStep {
  std::uint64_t number = 0;
  std::vector<StageBlock> blocks;
  std::int32_t n_rows = 0;
  std::vector<std::int32_t> targets;                            // (n_rows) or empty
  std::vector<std::int32_t> logit_rows = {}, argmax_rows = {};  // of the step
  std::span<const std::byte> rows;  // what ActivationTransfer::take_message gave
};

struct StateOrder {
  StageKind kind = StageKind::make;
  std::uint64_t number = 0;
  std::uint64_t state = 0;
  std::uint64_t other = 0;                         // copy: what it becomes
  std::int64_t n_tokens = 0;                       // reserve
  bool keeps_all = false;                          // reserve
  std::vector<std::vector<std::byte>> parts = {};  // load: by stage; link: the id, if there is one
};

// Positions that a state holds: of a stage's layers one after another, of each layer its groups.
using HeldPositions = std::vector<std::vector<std::int32_t>>;

// What one stage has to say of a step.
struct StageStepDone {
  std::vector<BlockEvents> events;       // (layers of the stage, blocks)
  std::vector<HeldPositions> positions;  // by block; empty where it does not ask for them
  std::vector<float> nll;            // (n_rows), of the last stage; empty where nothing is scored
  std::vector<float> logits;         // (logit_rows, vocab_size), of the last stage
  std::vector<std::int32_t> argmax;  // (argmax_rows), of the last stage
};

// What a stage has room for (StepPlan), once its layers are loaded: the answer to number 0, which
// is never asked.
struct StageReady {
  std::int32_t n_streams = 0;
  std::int32_t full_rows = 0;
  std::uint64_t state_budget = 0;
};

// An offer of a link to the next stage.
StateOrder link_order(const std::optional<NcclGroupId>& id);
// None where none is offered. Throws BadData.
std::optional<NcclGroupId> link_id(const StateOrder& order);

Message encode(const StageStep& step);
Message encode(const StateOrder& order);
Message encode_end();
Message encode_done(std::uint64_t number, std::span<const std::byte> bytes);
Message encode_failed(std::uint64_t number, const Error& error, bool is_out_of_memory);

std::vector<std::byte> pack(const StageStepDone& done);
std::vector<std::byte> pack(const HeldPositions& positions);
std::vector<std::byte> pack(const StageReady& ready);

// Each checks every length; throws BadData. The step's rows lie in the message.
StageKind stage_kind_of(const Message& m);
StageStep decode_step(const Message& m);
StateOrder decode_order(const Message& m);
StageStepDone unpack_step_done(std::span<const std::byte> bytes);
HeldPositions unpack_positions(std::span<const std::byte> bytes);
StageReady unpack_ready(std::span<const std::byte> bytes);

struct StageAnswer {
  std::uint64_t number = 0;
  std::vector<std::byte> bytes;
};
// Throws what a `failed` tells: OutOfMemory, BadData, Error with its code.
StageAnswer decode_answer(const Message& m);

}  // namespace tovamill
