// A directory that is removed with everything in it when it goes out of scope.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace tovamill::testing {

class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // Writes a file below the directory, making parents; returns its path.
  std::string write(std::string_view name, std::string_view content) const;

 private:
  std::filesystem::path path_;
};

// All bytes of a file; empty where it cannot be read.
std::string content_of(const std::filesystem::path& path);

}  // namespace tovamill::testing
