#include "pipeline/distributed/local_channel.h"

#include <gtest/gtest.h>

#include "tests/support/error_of.h"

namespace tovamill {
namespace {

TEST(LocalChannel, ReturnsWhatItWasGivenInOrder) {
  LocalChannel channel;
  EXPECT_FALSE(channel.receive().has_value());
  channel.send(0, {std::byte{1}, std::byte{2}});
  channel.send(0, {});
  const auto first = channel.receive();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->from, 0);
  EXPECT_EQ(first->message, (Message{std::byte{1}, std::byte{2}}));
  const auto second = channel.receive();
  ASSERT_TRUE(second.has_value());
  EXPECT_TRUE(second->message.empty());
  EXPECT_FALSE(channel.receive().has_value());
}

TEST(LocalChannel, RefusesOtherRanksAndLongMessages) {
  LocalChannel channel;
  testing::error_of([&] { channel.send(1, {}); }, ExitCode::internal);
  testing::error_of([&] { channel.send(-1, {}); }, ExitCode::internal);
  channel.send(0, Message(kMostMessageBytes));
  testing::error_of([&] { channel.send(0, Message(kMostMessageBytes + 1)); }, ExitCode::internal);
}

}  // namespace
}  // namespace tovamill
