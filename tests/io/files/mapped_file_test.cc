#include "io/files/mapped_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "tests/support/error_of.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;
using testing::TemporaryDirectory;

TEST(MappedFileTest, HoldsTheBytesAndMoves) {
  const TemporaryDirectory directory;
  MappedFile first(directory.write("a", "hello"));
  EXPECT_EQ(first.text(), "hello");
  MappedFile second(std::move(first));
  EXPECT_EQ(second.text(), "hello");
  EXPECT_TRUE(first.bytes().empty());
  MappedFile third(directory.write("b", "other"));
  third = std::move(second);
  EXPECT_EQ(third.text(), "hello");
  EXPECT_EQ(third.path(), directory.path() / "a");
}

TEST(MappedFileTest, AnEmptyFileIsAnEmptySpan) {
  const TemporaryDirectory directory;
  EXPECT_TRUE(MappedFile(directory.write("empty", "")).bytes().empty());
}

TEST(MappedFileTest, WhatIsNoReadableFileIsNoInput) {
  const TemporaryDirectory directory;
  const std::string path = directory.path();
  const auto message = [](const std::string& file) {
    return error_of([&] { MappedFile mapped(file); }, ExitCode::no_input);
  };
  EXPECT_EQ(message(path + "/missing"), path + "/missing: cannot open: No such file or directory");
  EXPECT_TRUE(contains(message(path), "is a directory"));
  const std::string pipe = path + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_TRUE(contains(message(pipe), "not a regular file"));
  if (geteuid() != 0) {  // root reads everything
    const std::string secret = directory.write("secret", "x");
    ASSERT_EQ(chmod(secret.c_str(), 0), 0);
    EXPECT_TRUE(contains(message(secret), "Permission denied"));
  }
}

}  // namespace
}  // namespace tovamill
