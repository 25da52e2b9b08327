#include "tests/support/runs/child_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <stdexcept>

#include "io/files/file_descriptor.h"

namespace tovamill::testing {
namespace {

bool read_exactly(int fd, void* to, std::size_t n) {
  for (auto* at = static_cast<char*>(to); n > 0;) {
    const ssize_t got = ::read(fd, at, n);
    if (got <= 0) return false;
    at += got;
    n -= static_cast<std::size_t>(got);
  }
  return true;
}

}  // namespace

bool ChildProcess::Link::read(std::string& message) const {
  std::uint32_t n = 0;
  if (!read_exactly(in_, &n, sizeof n)) return false;
  message.resize(n);
  return read_exactly(in_, message.data(), n);
}

void ChildProcess::Link::write(const std::string& message) const {
  const auto n = static_cast<std::uint32_t>(message.size());
  if (!write_all(out_, &n, sizeof n) || !write_all(out_, message.data(), n))
    throw std::runtime_error("the other process is gone");
}

ChildProcess::ChildProcess(const std::function<void(const Link&)>& body) {
  std::array<int, 2> down{}, up{};
  if (::pipe2(down.data(), O_CLOEXEC) != 0 || ::pipe2(up.data(), O_CLOEXEC) != 0)
    throw std::runtime_error("pipe2 failed");
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ == 0) {
    ::close(down[1]);
    ::close(up[0]);
    const Link link(down[0], up[1]);
    try {
      body(link);
    } catch (const std::exception& e) {
      link.write(std::string("failed: ") + e.what());
    }
    ::_exit(0);
  }
  ::close(down[0]);
  ::close(up[1]);
  to_child_ = down[1];
  from_child_ = up[0];
}

ChildProcess::~ChildProcess() {
  kill();
  ::close(to_child_);
  ::close(from_child_);
}

std::string ChildProcess::read() {
  std::string message;
  EXPECT_TRUE(Link(from_child_, to_child_).read(message)) << "the child is gone";
  return message;
}

std::string ChildProcess::ask(const std::string& question) {
  Link(from_child_, to_child_).write(question);
  return read();
}

void ChildProcess::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

}  // namespace tovamill::testing
