#include "engine/tokenizer/normalizer.h"

#include <memory>
#include <utility>

#include "engine/text/unicode_text.h"

namespace tovamill {

NormalizerStep nfc_step() { return nfc; }

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
