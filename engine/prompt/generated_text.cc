#include "engine/prompt/generated_text.h"

#include <algorithm>
#include <cstdint>

#include "engine/text/utf8.h"

namespace tovamill {
namespace {

// Tokens without any text at the beginning (a space that is dropped, an empty token) of which the
// decoder's state may depend. More of them than this do not change it.
constexpr std::size_t kMaxSilent = 8;

struct Subpart {
  std::size_t length = 0;  // bytes, at least 1
  bool complete = false;   // a character
};

// The character, or the longest beginning of one, at `at`; one byte where there is none.
Subpart subpart_at(std::string_view bytes, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[at + i]); };
  const std::size_t wanted = utf8_length(bytes[at]);
  if (wanted == 1) return {1, byte(0) < 0x80};
  std::size_t length = 1;
  while (length < wanted && at + length < bytes.size()) {
    std::uint8_t low = 0x80, high = 0xbf;
    if (length == 1) {  // no overlong forms, no surrogates, nothing above U+10FFFF
      if (byte(0) == 0xe0) low = 0xa0;
      if (byte(0) == 0xed) high = 0x9f;
      if (byte(0) == 0xf0) low = 0x90;
      if (byte(0) == 0xf4) high = 0x8f;
    }
    if (byte(length) < low || byte(length) > high) break;
    ++length;
  }
  return {length, length == wanted};
}

}  // namespace

std::string repaired_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const auto [length, complete] = subpart_at(bytes, at);
    const bool cut_off =
        !complete && at + length == bytes.size() && utf8_length(bytes[at]) > length;
    if (complete) {
      out += bytes.substr(at, length);
    } else if (!cut_off) {
      append_utf8(out, 0xfffd);
    }
    at += length;
  }
  return out;
}

GeneratedText::GeneratedText(const Tokenizer& tokenizer,
                             const std::vector<std::string>& stop_strings,
                             const AnswerChannels* channels)
    : tokenizer_(tokenizer), stop_strings_(stop_strings), channels_(channels) {}

bool AnswerChannels::continue_prompt(const std::vector<TokenId>& prompt) const {
  const auto last = std::find_if(prompt.rbegin(), prompt.rend(), [this](TokenId id) {
    return id == start || id == channel || id == message || id == end;
  });
  return last != prompt.rend() && *last == start;
}

bool GeneratedText::is_text(TokenId id) {
  const AnswerChannels& c = *channels_;
  if (id == c.start || id == c.end) {
    place_ = Place::head;
    channel_.clear();
  } else if (id == c.channel) {
    place_ = Place::channel;
    channel_.clear();
  } else if (id == c.message) {
    place_ = Place::message;
    beginning_.clear();
    beginning_bytes_ = 0;
  } else if (place_ == Place::channel) {
    channel_ += tokenizer_.decode({id}, false);
  } else if (place_ == Place::message) {
    constexpr std::string_view kFinal = "final";
    const std::size_t begin = std::min(channel_.find_first_not_of(' '), channel_.size());
    const std::string_view name = std::string_view(channel_).substr(begin);
    return name.empty() || name.substr(0, name.find(' ')) == kFinal;
  }
  return false;
}

std::string GeneratedText::bytes_of_next(TokenId id) {
  if (id < 0 || id >= tokenizer_.vocab_size()) return {};
  beginning_.push_back(id);
  const bool begun = beginning_bytes_ > 0;
  std::string text = tokenizer_.decode(beginning_, false);
  if (begun) {
    beginning_.pop_back();
    return text.substr(std::min(beginning_bytes_, text.size()));
  }
  beginning_bytes_ = text.size();
  if (text.empty() &&
      (beginning_.size() > kMaxSilent || !tokenizer_.decode({id}, /*keep_special=*/true).empty())) {
    beginning_.pop_back();
  }
  return text;
}

bool GeneratedText::push(TokenId id, bool may_stop) {
  ids_.push_back(id);
  if (channels_ != nullptr && !is_text(id)) return end_.has_value();
  const std::size_t before = bytes_.size();
  bytes_ += bytes_of_next(id);
  if (end_) return true;
  if (!may_stop) return false;
  // An occurrence counts where it ends in the new bytes: one that ended before was text.
  for (const std::string& stop : stop_strings_) {
    if (stop.empty()) continue;
    const std::size_t from = before - std::min(before, stop.size() - 1);
    const std::size_t at = bytes_.find(stop, from);
    if (at != std::string::npos) end_ = std::min(at, end_.value_or(at));
  }
  return end_.has_value();
}

std::string GeneratedText::text() const {
  return repaired_utf8(std::string_view(bytes_).substr(0, end_.value_or(bytes_.size())));
}

}  // namespace tovamill
