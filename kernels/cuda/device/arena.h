// The memory of a GPU that a backend works in: taken at once when it is made, handed out in blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace tovamill::cuda {

class Arena;

// A block that goes back to its arena, which lives as long as any.
class ArenaBlock {
 public:
  ArenaBlock() = default;
  ArenaBlock(std::shared_ptr<Arena> arena, void* data, std::size_t n_bytes)
      : arena_(std::move(arena)), data_(data), n_bytes_(n_bytes) {}
  ArenaBlock(ArenaBlock&& other) noexcept { *this = std::move(other); }
  ArenaBlock& operator=(ArenaBlock&& other) noexcept;
  ~ArenaBlock() { release(); }

  void* data() const { return data_; }
  std::size_t size() const { return n_bytes_; }
  void release();

 private:
  std::shared_ptr<Arena> arena_;
  void* data_ = nullptr;
  std::size_t n_bytes_ = 0;
};

class Arena : public std::enable_shared_from_this<Arena> {
 public:
  static constexpr std::size_t kAlign = 256;

  // Takes `n_bytes` of the device; to be made by std::make_shared. Throws OutOfMemory.
  explicit Arena(std::size_t n_bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // The smallest hole that is large enough. Throws OutOfMemory naming `what`.
  ArenaBlock take(std::size_t n_bytes, const std::string& what);
  std::size_t size() const { return n_bytes_; }
  std::size_t n_free() const { return n_free_; }
  // Bytes of the largest block that can be had.
  std::size_t largest_hole() const;

 private:
  friend class ArenaBlock;
  void give_back(void* data, std::size_t n_bytes);

  unsigned char* base_ = nullptr;
  std::size_t n_bytes_ = 0, n_free_ = 0;
  std::map<std::size_t, std::size_t> holes_;  // offset: bytes
};

}  // namespace tovamill::cuda
