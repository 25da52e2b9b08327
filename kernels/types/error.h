// The exceptions that every folder throws, and the exit codes of the program.
#pragma once

#include <stdexcept>
#include <string>

namespace tovamill {

// Exit codes of the program (sysexits.h numbers where one fits).
enum class ExitCode : int {
  done = 0,
  internal = 1,        // our own fault
  usage = 64,          // the command line is wrong
  bad_data = 65,       // a broken, hostile or unsupported model or corpus
  no_input = 66,       // a file or folder that does not exist or cannot be read
  no_device = 69,      // the asked-for device is not there
  cannot_create = 73,  // the output cannot be created
  io = 74,             // reading or writing failed on the way
  stopped = 75,        // stopped early with the work saved: run again
  configuration = 78,  // options that contradict each other or the run directory
};

// A user-facing failure: what is wrong, where (file, line or byte), what to do; and the exit code
// it leads to. The text is one line and complete: `main` prints it as it is.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

// A model or corpus file that is broken, hostile or unsupported (exit code 65).
class BadData : public Error {
 public:
  explicit BadData(const std::string& message) : Error(ExitCode::bad_data, message) {}
};

// Host or device memory that could not be had; a worker may go on with fewer streams.
class OutOfMemory : public Error {
 public:
  explicit OutOfMemory(const std::string& message) : Error(ExitCode::internal, message) {}
};

}  // namespace tovamill
