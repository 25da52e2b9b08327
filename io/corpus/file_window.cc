#include "io/corpus/file_window.h"

#include <algorithm>
#include <span>

#include "io/files/utf8.h"

namespace tovamill {
namespace {

constexpr std::size_t kWindowBytes = 1u << 20;

}  // namespace

template <class Act>
void FileWindow::guarded(Act act) {
  try {
    act();
  } catch (const StreamError& e) {
    broken_ = e;
    stream_.reset();
  }
}

FileWindow::FileWindow(const CorpusFile& file) : buffer_(kWindowBytes) {
  guarded([&] { stream_ = open_stream(file); });
}

void FileWindow::refill() {
  position_ += end_;
  begin_ = end_ = 0;
  if (!stream_) return;
  guarded([&] {
    end_ = stream_->read(buffer_);
    if (end_ == 0) stream_.reset();
  });
}

std::string_view FileWindow::bytes() {
  if (begin_ == end_) refill();
  return {buffer_.data() + begin_, end_ - begin_};
}

void FileWindow::go_to(std::uint64_t offset) {
  if (offset > position_ + end_ && stream_) {
    bool moved = false;
    guarded([&] { moved = stream_->seek(offset); });
    if (moved) {
      position_ = offset;
      begin_ = end_ = 0;
    }
  }
  while (here() < offset) {
    const std::size_t n = bytes().size();
    if (n == 0) return;
    consume(static_cast<std::size_t>(std::min<std::uint64_t>(n, offset - here())));
  }
}

void FileWindow::skip_byte_order_mark() {
  guarded([&] {
    while (stream_ && end_ < kByteOrderMark.size()) {
      const std::size_t n = stream_->read(std::span(buffer_).subspan(end_));
      if (n == 0) stream_.reset();
      end_ += n;
    }
  });
  if (std::string_view(buffer_.data(), end_).starts_with(kByteOrderMark))
    begin_ = kByteOrderMark.size();
}

}  // namespace tovamill
