#include "engine/tokenizer/unigram.h"

#include <algorithm>
#include <limits>

#include "engine/text/utf8.h"
#include "engine/tokenizer/tokenizer.h"

namespace tovamill {
namespace {

constexpr double kUnknownPenalty = 10.0;

}  // namespace

struct Unigram::Sorted {
  std::string_view content;
  TokenId id;
};

Unigram::Unigram(const Vocabulary& vocabulary, const std::vector<double>& scores,
                 const UnigramOptions& options, const std::string& where)
    : options_(options), where_(where), scores_(scores), byte_tokens_(vocabulary.byte_tokens()) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const double score : scores) lowest = std::min(lowest, score);
  unknown_score_ = lowest - kUnknownPenalty;
  std::vector<Sorted> tokens;
  for (std::size_t id = 0; id < scores.size(); ++id) {
    const std::string& content = vocabulary.contents[id];
    if (!content.empty() && !vocabulary.control[id])
      tokens.push_back({content, static_cast<TokenId>(id)});
  }
  std::ranges::sort(tokens, {}, &Sorted::content);
  build(tokens);
}

// Level by level: the tokens below a node are a range of `tokens`, which share its bytes.
void Unigram::build(const std::vector<Sorted>& tokens) {
  struct Range {
    std::size_t begin, end;
  };
  std::vector<Range> level{{0, tokens.size()}};
  nodes_.push_back({});
  for (std::size_t depth = 0, first = 0; !level.empty(); ++depth) {
    std::vector<Range> next;
    const std::size_t level_end = nodes_.size();
    for (std::size_t i = 0; i < level.size(); ++i) {
      auto [begin, end] = level[i];
      if (begin < end && tokens[begin].content.size() == depth)
        nodes_[first + i].token = tokens[begin++].id;
      nodes_[first + i].children = static_cast<std::uint32_t>(nodes_.size());
      while (begin < end) {
        const char byte = tokens[begin].content[depth];
        std::size_t stop = begin;
        while (stop < end && tokens[stop].content[depth] == byte) ++stop;
        Node node;
        node.byte = static_cast<std::uint8_t>(byte);
        nodes_.push_back(node);
        nodes_[first + i].n_children += 1;
        next.push_back({begin, stop});
        begin = stop;
      }
    }
    first = level_end;
    level = std::move(next);
  }
}

const Unigram::Node* Unigram::child(const Node& node, std::uint8_t byte) const {
  const auto begin = nodes_.begin() + node.children, end = begin + node.n_children;
  const auto at =
      std::lower_bound(begin, end, byte, [](const Node& n, std::uint8_t b) { return n.byte < b; });
  return at == end || at->byte != byte ? nullptr : &*at;
}

// Considers the tokens that begin at `begin`, which is reached; the end of the longest.
std::size_t Unigram::try_tokens(std::string_view piece, std::size_t begin, std::size_t base,
                                std::vector<Step>& steps) const {
  const std::size_t character = begin + decode_utf8(piece, begin).length;
  const double score = steps[begin - base].score;
  std::size_t longest = character;
  const auto consider = [&](std::size_t end, double sum, TokenId token) {
    if (steps.size() <= end - base) steps.resize(end - base + 1);
    Step& step = steps[end - base];
    if (!step.reached || sum > step.score) step = {sum, begin, token, true};
    longest = std::max(longest, end);
  };
  bool has_character = false;
  const Node* node = &nodes_.front();
  for (std::size_t at = begin; at < piece.size();) {
    node = child(*node, static_cast<std::uint8_t>(piece[at++]));
    if (node == nullptr) break;
    if (node->token == kNoToken) continue;
    consider(at, scores_[static_cast<std::size_t>(node->token)] + score, node->token);
    has_character = has_character || at == character;
  }
  if (!has_character) {
    if (options_.unknown == kNoToken) {
      throw UnencodableText(where_ + ": the tokenizer has no token for a character of a text and " +
                            "no unknown token: leave the text out");
    }
    consider(character, unknown_score_ + score, options_.unknown);
  }
  return longest;
}

void Unigram::encode(std::string_view piece, PieceScratch&, std::vector<TokenId>& ids) const {
  std::vector<Step> steps(1);  // of the places from `base` on
  std::size_t base = 0, reach = 0;
  std::string unknown;  // the run of unknown characters that is not written yet
  for (std::size_t at = 0; at < piece.size(); at += decode_utf8(piece, at).length) {
    if (at == reach && at > base) {
      settle(piece, base, at, steps, unknown, ids);
      steps[0] = {steps[at - base].score, at, kNoToken, true};
      steps.resize(1);
      base = at;
    }
    reach = std::max(reach, try_tokens(piece, at, base, steps));
  }
  settle(piece, base, piece.size(), steps, unknown, ids);
  flush(unknown, ids);
}

// Writes the tokens of the best way from `base` to `end`.
void Unigram::settle(std::string_view piece, std::size_t base, std::size_t end,
                     const std::vector<Step>& steps, std::string& unknown,
                     std::vector<TokenId>& ids) const {
  std::vector<std::size_t> ends;
  for (std::size_t at = end; at > base; at = steps[at - base].begin) ends.push_back(at);
  for (auto at = ends.rbegin(); at != ends.rend(); ++at) {
    const Step& step = steps[*at - base];
    if (step.token == options_.unknown) {
      unknown += piece.substr(step.begin, *at - step.begin);
      continue;
    }
    flush(unknown, ids);
    ids.push_back(step.token);
  }
}

void Unigram::flush(std::string& unknown, std::vector<TokenId>& ids) const {
  if (unknown.empty()) return;
  const auto token_of = [&](char byte) { return byte_tokens_[static_cast<std::uint8_t>(byte)]; };
  if (options_.byte_fallback &&
      std::ranges::none_of(unknown, [&](char byte) { return token_of(byte) == kNoToken; })) {
    for (const char byte : unknown) ids.push_back(token_of(byte));
  } else {
    ids.push_back(options_.unknown);
  }
  unknown.clear();
}

}  // namespace tovamill
