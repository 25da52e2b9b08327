#include "engine/tokenizer/byte_level_bpe.h"

#include <algorithm>

#include "engine/text/utf8.h"

namespace tovamill {
namespace {

// GPT-2's bytes_to_unicode: the printable characters of Latin-1 stand for themselves, the other 68
// for U+0100 onwards.
constexpr bool is_printable(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

constexpr std::array<char32_t, 256> characters() {
  std::array<char32_t, 256> out{};
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte)
    out[static_cast<std::size_t>(byte)] = is_printable(byte) ? static_cast<char32_t>(byte) : next++;
  return out;
}

constexpr auto kCharacters = characters();
constexpr char32_t kEndOfCharacters = 0x100 + 68;

constexpr std::array<int, kEndOfCharacters> bytes_of_characters() {
  std::array<int, kEndOfCharacters> out{};
  std::ranges::fill(out, -1);
  for (int byte = 0; byte < 256; ++byte) out[kCharacters[static_cast<std::size_t>(byte)]] = byte;
  return out;
}

constexpr auto kBytes = bytes_of_characters();

}  // namespace

std::string byte_level_character(std::uint8_t byte) {
  std::string out;
  append_utf8(out, kCharacters[byte]);
  return out;
}

std::optional<std::string> byte_level_bytes(std::string_view token) {
  std::string out;
  for (std::size_t at = 0; at < token.size();) {
    const auto [c, length] = decode_utf8(token, at);
    if (c >= kEndOfCharacters || kBytes[c] < 0) return std::nullopt;
    out += static_cast<char>(kBytes[c]);
    at += length;
  }
  return out;
}

ByteLevelBpe::ByteLevelBpe(const Vocabulary& vocabulary, const std::vector<Merge>& merges,
                           const BpeOptions& options)
    : options_(options), merges_(merges) {
  const auto byte_tokens = vocabulary.byte_tokens();
  for (std::size_t byte = 0; byte < bytes_.size(); ++byte) {
    const std::string character = byte_level_character(static_cast<std::uint8_t>(byte));
    auto& symbols = bytes_[byte];
    symbols.token = vocabulary.find(character);
    for (const char c : character) {
      const TokenId id = byte_tokens[static_cast<std::uint8_t>(c)];
      symbols.fallback[static_cast<std::size_t>(symbols.n_fallback++)] = id;
    }
    const bool complete =
        std::find(symbols.fallback.begin(), symbols.fallback.begin() + symbols.n_fallback,
                  kNoToken) == symbols.fallback.begin() + symbols.n_fallback;
    if (!options.byte_fallback || !complete) symbols.n_fallback = 0;
  }
  PieceScratch scratch;
  for (std::size_t id = 0; id < vocabulary.contents.size(); ++id) {
    const auto bytes = byte_level_bytes(vocabulary.contents[id]);
    if (!bytes || bytes->empty() || vocabulary.control[id]) continue;
    if (!options.ignore_merges) {
      encode_by_merges(*bytes, scratch);
      if (scratch.symbols.size() != 1 || scratch.symbols[0] != static_cast<TokenId>(id)) continue;
    }
    words_.insert(*bytes, static_cast<TokenId>(id));
  }
}

void ByteLevelBpe::encode(std::string_view piece, PieceScratch& scratch,
                          std::vector<TokenId>& ids) const {
  if (const TokenId id = words_.find(piece); id != kNoToken) {
    ids.push_back(id);
    return;
  }
  encode_by_merges(piece, scratch);
  ids.insert(ids.end(), scratch.symbols.begin(), scratch.symbols.end());
}

void ByteLevelBpe::encode_by_merges(std::string_view piece, PieceScratch& scratch) const {
  scratch.symbols.clear();
  SymbolRow row(scratch.symbols, options_);
  for (const char c : piece) {
    const ByteSymbols& symbols = bytes_[static_cast<std::uint8_t>(c)];
    if (symbols.token != kNoToken) {
      row.add(symbols.token);
    } else if (symbols.n_fallback > 0) {
      for (int i = 0; i < symbols.n_fallback; ++i)
        row.add_fallback(symbols.fallback[static_cast<std::size_t>(i)]);
    } else {
      row.add_unknown();
    }
  }
  row.release();
  merges_.apply(scratch.symbols, scratch.merge);
  if (options_.unknown_separates) std::erase(scratch.symbols, SymbolRow::kSeparator);
}

}  // namespace tovamill
