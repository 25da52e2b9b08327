#include "pipeline/report/child_program.h"

#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>

#include "io/files/file_descriptor.h"
#include "kernels/types/error.h"

extern char** environ;

namespace tovamill {
namespace {

constexpr int kSignalBase = 128;  // as shells give the exit code of what a signal ended

[[noreturn]] void fail(const std::string& program, const std::string& what, int error) {
  throw Error(ExitCode::io, program + ": " + what + ": " + std::strerror(error));
}

// Files in memory instead of pipes: the child never waits for this process, nor gets a SIGPIPE.
FileDescriptor memory_file(const std::string& program) {
  FileDescriptor file(memfd_create("tovamill", MFD_CLOEXEC));
  if (file.get() < 0) fail(program, "no memory for its data", errno);
  return file;
}

std::string content_of(const FileDescriptor& file) {
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return "";
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  const ssize_t n = read_at(file.get(), text.data(), text.size(), 0);
  text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return text;
}

class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  void put(const FileDescriptor& file, int at) {
    posix_spawn_file_actions_adddup2(&actions_, file.get(), at);
  }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

// The status of waitpid; the child is killed at the end of the limit.
int wait_for(pid_t child, std::chrono::milliseconds limit, bool& timed_out) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + limit;
  std::chrono::milliseconds pause(1);
  int status = 0;
  for (;;) {
    const pid_t done = waitpid(child, &status, timed_out ? 0 : WNOHANG);
    if (done == child || (done < 0 && errno != EINTR)) return status;
    if (!timed_out && Clock::now() >= end) {
      timed_out = true;
      kill(child, SIGKILL);
      continue;
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, std::chrono::milliseconds(20));
  }
}

}  // namespace

ChildResult run_child(const std::vector<std::string>& command, const std::string& input,
                      std::chrono::milliseconds limit, const std::string& package) {
  const std::string& program = command.front();
  const FileDescriptor in = memory_file(program), out = memory_file(program),
                       err = memory_file(program);
  if (!write_all(in.get(), input.data(), input.size()) || lseek(in.get(), 0, SEEK_SET) != 0)
    fail(program, "no memory for its input", errno);
  FileActions actions;
  actions.put(in, STDIN_FILENO);
  actions.put(out, STDOUT_FILENO);
  actions.put(err, STDERR_FILENO);
  std::vector<char*> arguments;
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));  // execve changes none of them
  arguments.push_back(nullptr);
  pid_t child = 0;
  const int error =
      posix_spawnp(&child, program.c_str(), actions.get(), nullptr, arguments.data(), environ);
  if (error == ENOENT || error == EACCES || error == ENOTDIR)
    throw Error(ExitCode::no_device,
                "the program " + program + " is not there: install the package " + package);
  if (error != 0) fail(program, "cannot be started", error);
  ChildResult result;
  const int status = wait_for(child, limit, result.timed_out);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : kSignalBase + WTERMSIG(status);
  result.out = content_of(out);
  result.err = content_of(err);
  return result;
}

}  // namespace tovamill
