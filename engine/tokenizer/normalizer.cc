#include "engine/tokenizer/normalizer.h"

#include <memory>
#include <utility>

#include "engine/text/unicode_classes.h"
#include "engine/text/utf8.h"

namespace tovamill {
namespace {

// Calls visit(character, its bytes) for each character of a text.
template <class Visit>
void for_each_character(std::string_view text, Visit&& visit) {
  for (std::size_t at = 0; at < text.size();) {
    const auto [c, length] = decode_utf8(text, at);
    visit(c, text.substr(at, length));
    at += length;
  }
}

bool is_dropped_by_nmt(char32_t c) {
  return (c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f ||
         c == 0x9f;
}

bool is_space_to_nmt(char32_t c) {
  return c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 ||
         (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff ||
         c == 0xfffd;
}

bool is_white_space(std::string_view text, std::size_t at) {
  return (UnicodeClasses::get()(decode_utf8(text, at).value) & CharClass::space) != 0;
}

}  // namespace

NormalizerStep form_step(NormalForm form) {
  return [form](std::string_view text) { return normal_form(text, form); };
}

NormalizerStep lower_case_step() { return lower_case; }

NormalizerStep charsmap_step(Charsmap map) {
  return [map = std::make_shared<const Charsmap>(std::move(map))](std::string_view text) {
    return (*map)(text);
  };
}

NormalizerStep strip_accents_step() {
  return [](std::string_view text) {
    std::string out;
    for_each_character(text, [&](char32_t c, std::string_view bytes) {
      if (!is_combining_mark(c)) out += bytes;
    });
    return out;
  };
}

NormalizerStep strip_step(bool left, bool right) {
  return [=](std::string_view text) {
    while (left && !text.empty() && is_white_space(text, 0))
      text.remove_prefix(decode_utf8(text, 0).length);
    while (right && !text.empty()) {
      const std::size_t last = previous_utf8(text, text.size());
      if (!is_white_space(text, last)) break;
      text = text.substr(0, last);
    }
    return std::string(text);
  };
}

NormalizerStep nmt_step() {
  return [](std::string_view text) {
    std::string out;
    for_each_character(text, [&](char32_t c, std::string_view bytes) {
      if (is_space_to_nmt(c)) {
        out += ' ';
      } else if (!is_dropped_by_nmt(c)) {
        out += bytes;
      }
    });
    return out;
  };
}

NormalizerStep prepend_step(std::string prefix) {
  return [prefix = std::move(prefix)](std::string_view text) {
    return text.empty() ? std::string() : prefix + std::string(text);
  };
}

NormalizerStep replace_step(Regex pattern, std::string content) {
  const auto regex = std::make_shared<const Regex>(std::move(pattern));
  return [regex, content = std::move(content)](std::string_view text) {
    std::string out;
    std::size_t done = 0;
    Regex::Search(*regex).for_each(text, [&](Regex::Span match) {
      out.append(text.substr(done, match.begin - done)).append(content);
      done = match.end;
    });
    return out.append(text.substr(done));
  };
}

NormalizerStep replace_character_step(char character, std::string content) {
  return [character, content = std::move(content)](std::string_view text) {
    std::string out;
    out.reserve(text.size() + text.size() / 2);
    for (const char c : text) {
      if (c == character) {
        out += content;
      } else {
        out += c;
      }
    }
    return out;
  };
}

}  // namespace tovamill
