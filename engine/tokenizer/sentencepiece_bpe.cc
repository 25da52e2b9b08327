#include "engine/tokenizer/sentencepiece_bpe.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "engine/text/utf8.h"
#include "engine/tokenizer/token_pair.h"

namespace tovamill {
namespace {

constexpr std::uint64_t kNoPair = ~std::uint64_t{0};

bool is_one_character(std::string_view text) {
  return !text.empty() && decode_utf8(text, 0).length == text.size();
}

// The first symbols that a token may begin (or end) with: at most its first character, a byte token
// and the unknown token, for the content of each of them begins the token's own.
struct Borders {
  std::array<TokenId, 3> ids{kNoToken, kNoToken, kNoToken};

  void add(TokenId id) {
    for (TokenId& place : ids) {
      if (place == id || id == kNoToken) return;
      if (place == kNoToken) {
        place = id;
        return;
      }
    }
  }
  void add(const Borders& other) {
    for (const TokenId id : other.ids) add(id);
  }
};

// The id of a part of a token: a token, or one character that gets a number of its own; kNoToken
// for other texts.
TokenId part_id(const Vocabulary& vocabulary, std::string_view text,
                std::unordered_map<std::string, TokenId>& extra) {
  std::string content(text);
  const TokenId id = vocabulary.find(content);
  if (id != kNoToken && !vocabulary.control[static_cast<std::size_t>(id)]) return id;
  if (!is_one_character(text)) return kNoToken;
  const auto next = static_cast<TokenId>(vocabulary.contents.size() + extra.size());
  return extra.try_emplace(std::move(content), next).first->second;
}

}  // namespace

SentencePieceBpe::SentencePieceBpe(const Vocabulary& vocabulary, const std::vector<Merge>& merges,
                                   const BpeOptions& options)
    : SentencePieceBpe(vocabulary, merges, options, Extra{}) {}

SentencePieceBpe::SentencePieceBpe(const Vocabulary& vocabulary, const std::vector<Merge>& merges,
                                   const BpeOptions& options, Extra extra)
    : options_(options),
      n_tokens_(static_cast<TokenId>(vocabulary.contents.size())),
      extra_(std::move(extra)),
      byte_tokens_(vocabulary.byte_tokens()),
      merges_(merges) {
  ascii_.fill(kNoToken);
  const auto note = [&](std::string_view content, TokenId id) {
    if (!is_one_character(content)) return;
    const char32_t c = decode_utf8(content, 0).value;
    if (c < ascii_.size()) {
      ascii_[c] = id;
    } else {
      characters_.emplace(c, id);
    }
  };
  for (TokenId id = 0; id < n_tokens_; ++id) {
    if (!vocabulary.control[static_cast<std::size_t>(id)])
      note(vocabulary.contents[static_cast<std::size_t>(id)], id);
  }
  for (std::size_t i = 0; i < extra_.size(); ++i)
    note(extra_[i], n_tokens_ + static_cast<TokenId>(i));
  note_borders(vocabulary, merges);
  note_words(vocabulary);
}

std::unique_ptr<SentencePieceBpe> SentencePieceBpe::from_scores(const Vocabulary& vocabulary,
                                                                const std::vector<float>& scores,
                                                                const BpeOptions& options) {
  std::vector<float> ranked = scores;
  std::ranges::sort(ranked, std::greater{});
  ranked.erase(std::unique(ranked.begin(), ranked.end()), ranked.end());
  std::unordered_map<std::string, TokenId> extra;
  std::vector<Merge> merges;
  for (std::size_t id = 0; id < vocabulary.contents.size(); ++id) {
    if (vocabulary.control[id]) continue;
    const std::string_view content = vocabulary.contents[id];
    const auto rank = std::ranges::lower_bound(ranked, scores[id], std::greater{}) - ranked.begin();
    for (std::size_t cut = decode_utf8(content, 0).length; cut < content.size();
         cut += decode_utf8(content, cut).length) {
      const TokenId left = part_id(vocabulary, content.substr(0, cut), extra);
      const TokenId right =
          left == kNoToken ? kNoToken : part_id(vocabulary, content.substr(cut), extra);
      if (right == kNoToken) continue;
      merges.push_back({left, right, static_cast<std::uint32_t>(rank), static_cast<TokenId>(id)});
    }
  }
  Extra characters(extra.size());
  for (const auto& [content, id] : extra)
    characters[static_cast<std::size_t>(id) - vocabulary.contents.size()] = content;
  return std::unique_ptr<SentencePieceBpe>(
      new SentencePieceBpe(vocabulary, merges, options, std::move(characters)));
}

// Follows the merges from short results to long ones, so that the borders of both parts are
// complete when they are used.
void SentencePieceBpe::note_borders(const Vocabulary& vocabulary,
                                    const std::vector<Merge>& merges) {
  std::vector<Borders> heads(vocabulary.contents.size() + extra_.size());
  std::vector<Borders> tails(heads.size());
  const auto note_symbol = [&](TokenId id) {
    if (id == kNoToken) return;
    heads[static_cast<std::size_t>(id)].add(id);
    tails[static_cast<std::size_t>(id)].add(id);
  };
  std::ranges::for_each(ascii_, note_symbol);
  for (const auto& [c, id] : characters_) note_symbol(id);
  std::ranges::for_each(byte_tokens_, note_symbol);
  note_symbol(options_.unknown);

  std::vector<std::uint32_t> order(merges.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::stable_sort(order, {}, [&](std::uint32_t i) {
    return vocabulary.contents[static_cast<std::size_t>(merges[i].result)].size();
  });
  std::vector<std::uint64_t> pairs;
  for (const std::uint32_t i : order) {
    const auto& [left, right, rank, result] = merges[i];
    const Borders& last = tails[static_cast<std::size_t>(left)];
    const Borders& first = heads[static_cast<std::size_t>(right)];
    for (const TokenId a : last.ids) {
      for (const TokenId b : first.ids) {
        if (a != kNoToken && b != kNoToken) pairs.push_back(pair_of(a, b));
      }
    }
    heads[static_cast<std::size_t>(result)].add(heads[static_cast<std::size_t>(left)]);
    tails[static_cast<std::size_t>(result)].add(tails[static_cast<std::size_t>(right)]);
  }
  std::ranges::sort(pairs);
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  joins_.assign(std::bit_ceil(4 * pairs.size() + 4), kNoPair);
  for (const std::uint64_t pair : pairs) {
    std::size_t at = hash_of(pair) & (joins_.size() - 1);
    while (joins_[at] != kNoPair) at = (at + 1) & (joins_.size() - 1);
    joins_[at] = pair;
  }
}

bool SentencePieceBpe::may_join(TokenId a, TokenId b) const {
  const std::uint64_t pair = pair_of(a, b);
  std::size_t at = hash_of(pair) & (joins_.size() - 1);
  while (joins_[at] != kNoPair && joins_[at] != pair) at = (at + 1) & (joins_.size() - 1);
  return joins_[at] == pair;
}

void SentencePieceBpe::note_words(const Vocabulary& vocabulary) {
  PieceScratch scratch;
  std::vector<TokenId> ids;
  WordTable words;
  for (std::size_t id = 0; id < vocabulary.contents.size(); ++id) {
    const std::string& content = vocabulary.contents[id];
    if (vocabulary.control[id] || content.empty() || find_invalid_utf8(content)) continue;
    if (options_.ignore_merges) pieces_.insert(content, static_cast<TokenId>(id));
    ids.clear();
    encode(content, scratch, ids);
    if (ids.size() == 1 && ids[0] == static_cast<TokenId>(id)) words.insert(content, ids[0]);
  }
  rows_ = std::move(words);
}

TokenId SentencePieceBpe::token_of(char32_t c) const {
  if (c < ascii_.size()) return ascii_[c];
  const auto it = characters_.find(c);
  return it == characters_.end() ? kNoToken : it->second;
}

// The symbol that a character begins with; kNoToken for an unknown one.
TokenId SentencePieceBpe::first_symbol(std::string_view character, TokenId token) const {
  if (token != kNoToken || !options_.byte_fallback) return token;
  const auto byte_token = [&](char byte) { return byte_tokens_[static_cast<std::uint8_t>(byte)]; };
  const bool complete =
      std::ranges::none_of(character, [&](char byte) { return byte_token(byte) == kNoToken; });
  return complete ? byte_token(character.front()) : kNoToken;
}

void SentencePieceBpe::encode(std::string_view piece, PieceScratch& scratch,
                              std::vector<TokenId>& ids) const {
  if (const TokenId id = pieces_.find(piece); id != kNoToken) {
    ids.push_back(id);
    return;
  }
  auto& symbols = scratch.symbols;
  symbols.clear();
  SymbolRow row(symbols, options_);
  std::size_t begin = 0;
  for (std::size_t at = 0; at < piece.size();) {
    const auto [c, length] = decode_utf8(piece, at);
    const std::string_view character = piece.substr(at, length);
    const TokenId token = token_of(c);
    const TokenId first = first_symbol(character, token);
    if (first != kNoToken && !symbols.empty() && !row.unknown_waits() &&
        !may_join(symbols.back(), first)) {
      finish_row(piece.substr(begin, at - begin), scratch, ids);
      begin = at;
    }
    if (token != kNoToken) {
      row.add(token);
    } else if (first != kNoToken) {
      for (const char byte : character)
        row.add_fallback(byte_tokens_[static_cast<std::uint8_t>(byte)]);
    } else {
      row.add_unknown();
    }
    at += length;
  }
  row.release();
  finish_row(piece.substr(begin), scratch, ids);
}

// The tokens of one sequence of symbols, whose text is `text`.
void SentencePieceBpe::finish_row(std::string_view text, PieceScratch& scratch,
                                  std::vector<TokenId>& ids) const {
  auto& symbols = scratch.symbols;
  const TokenId word = rows_.find(text);
  if (word != kNoToken) {
    ids.push_back(word);
  } else {
    merges_.apply(symbols, scratch.merge);
    for (const TokenId id : symbols) {
      if (id < n_tokens_) {
        ids.push_back(id);
        continue;
      }
      for (const char byte : extra_[static_cast<std::size_t>(id - n_tokens_)]) {
        const TokenId byte_token = byte_tokens_[static_cast<std::uint8_t>(byte)];
        if (byte_token != kNoToken || options_.unknown != kNoToken)
          ids.push_back(byte_token != kNoToken ? byte_token : options_.unknown);
      }
    }
  }
  symbols.clear();
}

}  // namespace tovamill
