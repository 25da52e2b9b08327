// A forked process that answers questions, for tests of what several processes do together.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

namespace tovamill::testing {

class ChildProcess {
 public:
  // What the child sees of its parent.
  class Link {
   public:
    Link(int in, int out) : in_(in), out_(out) {}
    bool read(std::string& message) const;  // false once the other side is gone
    void write(const std::string& message) const;

   private:
    int in_, out_;
  };

  // Runs `body` in a fork of this process, which has one thread at that moment; the child ends with
  // it. An exception of `body` is what the child says last.
  explicit ChildProcess(const std::function<void(const Link&)>& body);
  ~ChildProcess();  // SIGKILL, where it still runs
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  std::string read();                            // fails the test where the child is gone
  std::string ask(const std::string& question);  // writes and reads
  void kill();                                   // by SIGKILL; returns when it is gone
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int to_child_ = -1, from_child_ = -1;
};

}  // namespace tovamill::testing
