#include "io/corpus/line_counter.h"

#include <algorithm>

namespace tovamill {

std::optional<std::uint64_t> LineCounter::count(std::uint64_t begin, std::uint64_t end) {
  if (!file_ || end > unreadable_from_) return std::nullopt;
  if (!window_ || window_->here() > begin) window_ = std::make_unique<FileWindow>(*file_);
  window_->go_to(begin);
  std::uint64_t n_lines = 0;
  while (window_->here() < end) {
    std::string_view bytes = window_->bytes();
    bytes = bytes.substr(0, std::min<std::uint64_t>(bytes.size(), end - window_->here()));
    if (bytes.empty()) {
      unreadable_from_ = end;
      return std::nullopt;
    }
    n_lines += static_cast<std::uint64_t>(std::count(bytes.begin(), bytes.end(), '\n'));
    window_->consume(bytes.size());
  }
  return n_lines;
}

}  // namespace tovamill
