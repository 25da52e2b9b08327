// Every path to write that a user names goes through here (io/README.md, "What is written").
#pragma once

#include <sys/types.h>

#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "io/files/temporary_file.h"

namespace tovamill {

// The files that a command reads, under whatever names: none of them may be its output.
class InputFiles {
 public:
  // A file, or a directory as such. `what` names it in an error: "the corpus file". Passes over
  // what is not there.
  void add(const std::string& what, const std::string& path);
  // What the file at this path (through links), or an open descriptor, is called among the inputs:
  // "the corpus file 'a.txt'"; empty where it is none.
  std::string name_of(const std::string& path) const;
  std::string name_of(int descriptor) const;

  // Throws Error(configuration) where `path`, given for `option`, leads to one of the files or
  // directories.
  void refuse(const std::string& option, const std::string& path) const;
  // Throws Error(configuration) where standard output or standard error goes to one of them: it
  // would be read as it grows.
  void refuse_standard_streams() const;

 private:
  std::map<std::pair<dev_t, ino_t>, std::string> names_;
};

// What may be replaced. A file that is there and holds something goes only where `is_ours` knows it
// by its content as an output of the same kind.
struct OutputRules {
  std::string option;  // "--output", for messages
  std::string kind;    // "a table of tovamill export"
  std::function<bool(const std::string& path)> is_ours;
  const InputFiles* inputs = nullptr;
  bool must_be_regular = false;  // it is written in several places, as HDF5 is
};

// Throws Error(configuration) for a file that the rules protect, Error(cannot_create) for a
// directory and, where it must be a regular file, for what is none.
void check_output(const std::string& path, const OutputRules& rules);

// An output that is whole or absent. Symbolic links are followed and stay. What is no regular file
// (a device, a FIFO, /dev/stdout, /dev/fd/N) is written as it is.
class OutputFile {
 public:
  // Throws what check_output does, and Error(cannot_create or io) where it cannot be opened.
  OutputFile(const std::string& path, const OutputRules& rules);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Where a library may write by name: a temporary file beside the target. Only of a regular file.
  const std::string& temporary_path() const { return temporary_->path(); }
  // Buffered; fails as streams do.
  std::ostream& stream();
  // Throws Error(io) with the system's reason where something could not be written.
  void check_written() const;
  // Flushes, makes durable, puts it in its place. Throws as above.
  void commit();

 private:
  class Buffer;

  std::string path_;
  std::optional<TemporaryFile> temporary_;
  int descriptor_ = -1;  // that stream() writes
  bool owns_descriptor_ = false;
  std::unique_ptr<Buffer> buffer_;
  std::unique_ptr<std::ostream> stream_;
};

}  // namespace tovamill
