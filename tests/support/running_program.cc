#include "tests/support/running_program.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

namespace tovamill::testing {
namespace {

std::string content_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace

RunningProgram::RunningProgram(const std::vector<std::string>& arguments) {
  std::vector<char*> argv{const_cast<char*>(TOVAMILL_PROGRAM)};
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  const std::string out = directory_.write("out", ""), err = directory_.write("err", "");
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ > 0) return;
  dup2(open("/dev/null", O_RDONLY), 0);
  dup2(open(out.c_str(), O_WRONLY), 1);
  dup2(open(err.c_str(), O_WRONLY), 2);
  execv(TOVAMILL_PROGRAM, argv.data());
  _exit(127);
}

RunningProgram::~RunningProgram() {
  if (ended_) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void RunningProgram::send(int signal) const {
  if (!ended_) kill(pid_, signal);
}

bool RunningProgram::poll() {
  if (!ended_) ended_ = waitpid(pid_, &status_, WNOHANG) == pid_;
  return ended_;
}

int RunningProgram::wait() {
  if (!ended_) waitpid(pid_, &status_, 0);
  ended_ = true;
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_);
}

bool RunningProgram::wait_until(const std::function<bool()>& condition) {
  while (!condition()) {
    if (poll()) return condition();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

std::string RunningProgram::out() const { return content_of(directory_.path() / "out"); }
std::string RunningProgram::err() const { return content_of(directory_.path() / "err"); }

}  // namespace tovamill::testing
