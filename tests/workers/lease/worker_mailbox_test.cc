#include "workers/lease/worker_mailbox.h"

#include <gtest/gtest.h>

#include "pipeline/distributed/coordinator.h"
#include "pipeline/distributed/local_channel.h"

namespace tovamill {
namespace {

// The thread that computes published its wish and is in a long step: it takes nothing from the
// mailbox.
TEST(WorkerMailbox, AWishIsAnsweredOnceHoweverLongTheStep) {
  LocalChannel channel;
  CoordinatorOptions options;
  options.hosts = {1};
  Coordinator coordinator(
      options, channel, [](int, std::vector<FileRange>) {}, 0.0);
  RunWork work;
  for (std::uint32_t i = 0; i < 4000; ++i) {
    work.files.push_back({.path = "/corpus/" + std::to_string(i) + ".txt", .n_bytes = 2000});
    work.extents.push_back(extent_of(work.files.back()));
    work.ranges.push_back({i, 0, kToTheEnd});
  }
  coordinator.begin(std::move(work), 0.0);
  WorkerMailbox mailbox;
  mailbox.register_worker({}, {});
  WorkerSituation situation;
  situation.phase = WorkerPhase::working;
  situation.journal_is_open = true;
  situation.wants = Wants::now;
  mailbox.publish(situation);
  WorkerLink link(channel, 0, 20.0, 0.0);
  for (double now = 0.0; now < 10.0; now += 0.011) {
    while (const auto e = channel.receive()) {
      if (is_for_coordinator(kind_of(e->message)))
        coordinator.receive(*e, now);
      else
        link.receive(e->message, now);
    }
    while (auto lease = link.take_lease()) mailbox.put(std::move(*lease));
    mailbox.exchange(link);
    link.tick(now);
    coordinator.tick(now);
  }
  EXPECT_LE(coordinator.workers()[0].outstanding.size(), 2u);
  EXPECT_GE(coordinator.workers()[0].outstanding.size(), 1u);
}

}  // namespace
}  // namespace tovamill
