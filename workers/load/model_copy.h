// A model's files from rank 0 to hosts that do not have them: names and sizes, then the contents in
// chunks of 8 MiB. Each message begins with a status, so that a file that cannot be read on rank 0
// ends the others with the same error and not with a wait.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>

namespace tovamill {

// A collective: rank 0's bytes arrive in everyone's span, which is equally long everywhere. At most
// 8 MiB at a time.
using Broadcast = std::function<void(std::span<std::byte>)>;

// Rank 0: sends what belongs to the model: of a Hugging Face directory config.json, the tokenizer's
// and generation files and the *.safetensors in use with their index; else the .gguf file. Throws
// what opening the model throws, Error(io) where a file cannot be read to its end; the receivers
// then throw as well.
void send_model(const std::string& path, const Broadcast& broadcast);

// A received model in a directory of its own, which is removed with this object. An opened model
// stays readable after that: its files are mapped.
class ModelCopy {
 public:
  ModelCopy() = default;
  ModelCopy(ModelCopy&& other) noexcept { *this = std::move(other); }
  ModelCopy& operator=(ModelCopy&& other) noexcept {
    directory_.swap(other.directory_);
    path_.swap(other.path_);
    return *this;
  }
  ~ModelCopy();
  // What to open: the directory, or the .gguf file in it.
  const std::string& path() const { return path_; }

 private:
  friend class ModelReceiver;
  std::string directory_, path_;
};

// The other ranks: writes the model below a fresh directory in `parent`. Takes part in every
// broadcast even where nothing can be written here, so that nobody waits, and then throws
// Error(cannot_create or io) naming the bytes that are needed; where rank 0 failed, its error.
ModelCopy receive_model(const Broadcast& broadcast, const std::string& parent);

}  // namespace tovamill
