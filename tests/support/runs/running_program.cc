#include "tests/support/runs/running_program.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

#include "tests/support/temporary_directory.h"

namespace tovamill::testing {

RunningProgram::RunningProgram(const std::vector<std::string>& arguments) {
  std::vector<std::string> command{TOVAMILL_PROGRAM};
  command.insert(command.end(), arguments.begin(), arguments.end());
  start(std::move(command));
}

RunningProgram::RunningProgram(int n_ranks, const std::vector<std::string>& arguments) {
  std::vector<std::string> command{"mpirun",
                                   "--enable-recovery",
                                   "--allow-run-as-root",
                                   "--oversubscribe",
                                   "--bind-to",
                                   "none",
                                   "-n",
                                   std::to_string(n_ranks),
                                   TOVAMILL_PROGRAM};
  command.insert(command.end(), arguments.begin(), arguments.end());
  start(std::move(command));
}

void RunningProgram::start(std::vector<std::string> command) {
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string out = directory_.write("out", ""), err = directory_.write("err", "");
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ > 0) return;
  dup2(open("/dev/null", O_RDONLY), 0);
  dup2(open(out.c_str(), O_WRONLY), 1);
  dup2(open(err.c_str(), O_WRONLY), 2);
  execvp(argv.front(), argv.data());
  _exit(127);
}

pid_t RunningProgram::find_rank(int rank) const {
  const std::string wanted = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank) + '\0';
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string stat = content_of(entry.path() / "stat");
    const std::size_t behind = stat.rfind(") ");
    if (behind == std::string::npos) continue;
    char state = 0;
    int parent = 0;
    if (std::sscanf(stat.c_str() + behind + 2, "%c %d", &state, &parent) != 2 || parent != pid_)
      continue;
    if (content_of(entry.path() / "environ").find(wanted) != std::string::npos)
      return static_cast<pid_t>(std::stol(name));
  }
  return -1;
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
