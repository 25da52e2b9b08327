#include "engine/tokenizer/bpe_tokenizer.h"

#include <utility>

#include "engine/text/utf8.h"
#include "engine/tokenizer/byte_level_bpe.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"

namespace tovamill {
namespace {

std::string with_spaces(std::string_view content, std::string_view space,
                        std::string_view instead) {
  std::string out;
  for (auto at = content.find(space); at != std::string_view::npos; at = content.find(space)) {
    out.append(content.substr(0, at)).append(instead);
    content.remove_prefix(at + space.size());
  }
  return out.append(content);
}

// The byte that <0x..> stands for.
std::optional<char> fallback_byte(std::string_view content) {
  if (content.size() != 6 || !content.starts_with("<0x") || content.back() != '>')
    return std::nullopt;
  int byte = 0;
  for (const char c : content.substr(3, 2)) {
    const auto digit = std::string_view("0123456789ABCDEFabcdef").find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    byte = 16 * byte + static_cast<int>(digit < 16 ? digit : digit - 6);
  }
  return static_cast<char>(byte);
}

}  // namespace

BpeTokenizer::BpeTokenizer(TokenizerParts parts)
    : parts_(std::move(parts)), is_added_(parts_.vocabulary.contents.size()) {
  for (const AddedToken& token : parts_.added) {
    is_added_[static_cast<std::size_t>(token.id)] = true;
    AddedToken sought = token;
    if (token.normalized) sought.content = parts_.normalizer(token.content);
    for (Matchers* matchers : {&plain_, &all_}) {
      if (matchers == &plain_ && token.is_control()) continue;
      (token.normalized ? matchers->normalized : matchers->raw).add(sought);
    }
  }
}

void BpeTokenizer::encode_with(const Matchers& matchers, std::string_view text, bool at_start,
                               std::vector<TokenId>& ids) const {
  if (const auto at = find_invalid_utf8(text)) {
    throw UnencodableText("a text is not UTF-8 at its byte " + std::to_string(*at) +
                          ": convert it to UTF-8");
  }
  PieceScratch scratch;
  for (const auto& [begin, end, id] : matchers.raw.split(text)) {
    if (id != kNoToken) {
      ids.push_back(id);
      continue;
    }
    const std::string_view raw = text.substr(begin, end - begin);
    const std::string normalized = parts_.normalizer(raw);
    for (const auto& inner : matchers.normalized.split(normalized)) {
      if (inner.id != kNoToken) {
        ids.push_back(inner.id);
      } else {
        const auto piece =
            std::string_view(normalized).substr(inner.begin, inner.end - inner.begin);
        encode_text(piece, at_start && begin == 0 && inner.begin == 0, scratch, ids);
      }
    }
  }
}

void BpeTokenizer::encode_text(std::string_view text, bool at_start, PieceScratch& scratch,
                               std::vector<TokenId>& ids) const {
  const Pieces pieces = parts_.pre_tokenizer(std::string(text), at_start);
  std::size_t begin = 0;
  for (const std::size_t end : pieces.ends) {
    parts_.encoder->encode(std::string_view(pieces.text).substr(begin, end - begin), scratch, ids);
    begin = end;
  }
}

std::string BpeTokenizer::bytes_of(TokenId id, bool first) const {
  const DecodeRules& rules = parts_.decode;
  const std::string& content = parts_.vocabulary.contents[static_cast<std::size_t>(id)];
  if (rules.byte_level)
    return is_added_[static_cast<std::size_t>(id)] ? content
                                                   : byte_level_bytes(content).value_or(content);
  if (rules.byte_fallback) {
    if (const auto byte = fallback_byte(content)) return std::string(1, *byte);
  }
  return rules.space.empty()
             ? content
             : with_spaces(content, rules.space, first && rules.drop_first_spaces ? "" : " ");
}

std::string BpeTokenizer::decode(const std::vector<TokenId>& ids, bool keep_special) const {
  std::string out;
  bool first = true;
  for (const TokenId id : ids) {
    if (id < 0 || id >= vocab_size()) continue;
    if (!keep_special && parts_.vocabulary.control[static_cast<std::size_t>(id)]) continue;
    out += bytes_of(id, first);
    first = false;
  }
  if (parts_.decode.drop_first_space && out.starts_with(' ')) out.erase(0, 1);
  return out;
}

std::optional<TokenId> BpeTokenizer::id_of(std::string_view content) const {
  const TokenId id = parts_.vocabulary.find(std::string(content));
  return id == kNoToken ? std::nullopt : std::optional(id);
}

std::string BpeTokenizer::description() const {
  return parts_.family + ", " + counted(vocab_size(), "token") +
         (parts_.note.empty() ? "" : "; " + parts_.note);
}

}  // namespace tovamill
