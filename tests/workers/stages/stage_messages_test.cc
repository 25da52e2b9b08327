// What stages tell each other, and how a model and its ranks are cut into stages.
#include <gtest/gtest.h>

#include "kernels/types/error.h"
#include "tests/support/error_of.h"
#include "workers/stages/stage_cut.h"
#include "workers/stages/stage_worker.h"
#include "workers/stages/staged_model.h"

namespace tovamill {
namespace {

using testing::error_of;

TEST(StageMessages, WhatFailsInAStageIsThrownOnStageZero) {
  StageMailbox mailbox(0, 3);
  PipelineDriver driver(mailbox, 10.0);
  const auto fail = [&](std::uint64_t number, const Error& error, bool is_out_of_memory) {
    mailbox.deliver(1, encode_done(number, {}));
    mailbox.deliver(2, encode_failed(number, error, is_out_of_memory));
  };
  const StateOrder order{.kind = StageKind::reserve, .state = 1};
  fail(1, OutOfMemory("rank 5 has no more"), true);
  EXPECT_NE(error_of([&] { driver.ask(order); }, ExitCode::internal).find("rank 5"),
            std::string::npos);
  fail(2, OutOfMemory("no more"), true);
  EXPECT_THROW(driver.ask(order), OutOfMemory);
  fail(3, BadData("damaged"), false);
  EXPECT_THROW(driver.ask(order), BadData);
  error_of(
      [&] {
        fail(4, Error(ExitCode::io, "a disk"), false);
        driver.ask(order);
      },
      ExitCode::io);
  mailbox.deliver(2, encode_done(5, {}));
  mailbox.deliver(1, encode_done(5, {}));
  EXPECT_EQ(driver.ask(order).size(), 2u);
}

TEST(StageMessages, EveryLengthIsChecked) {
  const std::vector<std::byte> rows(24, std::byte{1});
  StageStep step{.number = 300,
                 .blocks = {},
                 .n_rows = 2,
                 .targets = {5, -1},
                 .logit_rows = {1},
                 .argmax_rows = {0},
                 .rows = rows};
  step.blocks.push_back({.state = 7, .block = {.n_tokens = 2, .position = 9, .keeps_all = true}});
  StateOrder order{.kind = StageKind::load, .number = 8, .state = 3};
  order.parts = {rows, {}, rows};
  StageStepDone done{.events = {{.evictions = {{.position = 3, .step = 4}}, .n_attended = 9}},
                     .positions = {{{1, 2}, {}}},
                     .nll = {0.5f, 0.0f},
                     .logits = {1.0f},
                     .argmax = {17}};
  const Message s = encode(step), o = encode(order), answer = encode_done(300, pack(done));
  for (std::size_t n = 0; n < s.size(); ++n)
    EXPECT_THROW(decode_step(Message(s.begin(), s.begin() + static_cast<std::ptrdiff_t>(n))),
                 BadData);
  for (std::size_t n = 0; n < o.size(); ++n)
    EXPECT_THROW(decode_order(Message(o.begin(), o.begin() + static_cast<std::ptrdiff_t>(n))),
                 BadData);
  for (std::size_t n = 0; n < answer.size(); ++n)
    EXPECT_THROW(
        decode_answer(Message(answer.begin(), answer.begin() + static_cast<std::ptrdiff_t>(n))),
        BadData);
  const StageStep again = decode_step(s);
  EXPECT_TRUE(again.blocks.at(0).block.keeps_all);
  EXPECT_EQ(again.blocks.at(0).block.position, 9);
  EXPECT_EQ(again.targets, step.targets);
  EXPECT_EQ(again.argmax_rows, step.argmax_rows);
  EXPECT_EQ(again.rows.size(), rows.size());
  EXPECT_EQ(decode_order(o).parts, order.parts);
  const StageAnswer a = decode_answer(answer);
  EXPECT_EQ(a.number, 300u);
  const StageStepDone d = unpack_step_done(a.bytes);
  EXPECT_EQ(d.events.at(0).evictions.at(0).step, 4);
  EXPECT_EQ(d.argmax, done.argmax);
  EXPECT_EQ(d.positions, done.positions);
  EXPECT_EQ(d.nll, done.nll);
  EXPECT_EQ(d.logits, done.logits);
}

TEST(StageCut, TheHeadCountsAsLayers) {
  ModelShape s{.n_layers = 30,
               .hidden_size = 576,
               .intermediate_size = 1536,
               .n_heads = 9,
               .n_kv_heads = 3,
               .head_dim = 64,
               .vocab_size = 49152,
               .layers = std::vector<LayerShape>(30)};
  EXPECT_EQ(text_of(cut_layers(s, 1)), "layers 0-29 + head");
  EXPECT_EQ(text_of(cut_layers(s, 2)), "layers 0-18 | 19-29 + head");
  EXPECT_EQ(text_of(cut_layers(s, 3)), "layers 0-12 | 13-25 | 26-29 + head");
  s.n_layers = 3;
  EXPECT_EQ(text_of(cut_layers(s, 3)), "layers 0 | 1 | 2 + head");
  EXPECT_NE(error_of([&] { cut_layers(s, 4); }, ExitCode::usage).find("3 layers"),
            std::string::npos);
}

TEST(StageCut, RanksFormWholeGroups) {
  check_groups(4, 0, 2);
  check_groups(5, 1, 2);
  check_groups(1, 0, 1);
  EXPECT_NE(error_of([] { check_groups(5, 0, 2); }, ExitCode::usage).find("mpirun -n 6"),
            std::string::npos);
  EXPECT_NE(error_of([] { check_groups(1, 0, 2); }, ExitCode::usage).find("mpirun -n 2"),
            std::string::npos);
}

}  // namespace
}  // namespace tovamill
