// A file under a name of its own, beside the file that it will become.
#pragma once

#include <string>

namespace tovamill {

// The file that `path` leads to, through symbolic links, whether it is there or not (then the last
// link's target). Throws Error(cannot_create) for a loop of links and a folder that is not there.
std::string target_of(const std::string& path);

// ".<name>.<16 hexadecimal digits>.tmp" in the folder of its target: no name that anybody else has.
// A death by SIGKILL leaves it.
class TemporaryFile {
 public:
  // Creates it (exclusively), with the mode and, where this process may, the owner of the target
  // that is there. `target` is not a symbolic link (target_of). Throws Error(cannot_create),
  // Error(io) on a full disk.
  explicit TemporaryFile(const std::string& target);
  ~TemporaryFile();  // removes it, unless it was kept
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::string& path() const { return path_; }
  int descriptor() const { return descriptor_; }

  // Takes the place of the target, durably if wished. Throws Error(io).
  void replace_target(bool durably = true);

 private:
  std::string target_, path_;
  int descriptor_ = -1;
  int slot_ = -1;  // in the table of what a signal removes
};

// Whether a name is one that TemporaryFile makes for a target of the name `of`.
bool is_temporary_name(const std::string& name, const std::string& of);

// Removes the temporary files of this process. For signal handlers that end it.
void remove_temporary_files();

// Lets SIGINT, SIGTERM and SIGHUP remove them before they end the process. A signal that is ignored
// stays so.
void remove_temporary_files_on_signals();

}  // namespace tovamill
