#include "engine/tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "engine/text/unicode_classes.h"
#include "engine/text/utf8.h"

namespace tovamill {
namespace {

// Calls visit(piece, index) for each piece.
template <class Visit>
void for_each_piece(const Pieces& pieces, Visit&& visit) {
  std::size_t begin = 0;
  for (std::size_t i = 0; i < pieces.ends.size(); ++i) {
    visit(std::string_view(pieces.text).substr(begin, pieces.ends[i] - begin), i);
    begin = pieces.ends[i];
  }
}

// Cuts each piece without changing the text: cut(piece, add) calls add(end) for the ends inside the
// piece.
template <class Cut>
void cut_pieces(Pieces& pieces, Cut&& cut) {
  std::vector<std::size_t> ends;
  ends.reserve(pieces.ends.size());
  std::size_t begin = 0;
  for_each_piece(pieces, [&](std::string_view piece, std::size_t) {
    cut(piece, [&](std::size_t end) { ends.push_back(begin + end); });
    begin += piece.size();
  });
  pieces.ends = std::move(ends);
}

// A part of a piece that a Split found or left.
struct Part {
  std::size_t begin, end;
  bool matched;
};

std::vector<Part> find_parts(Regex::Search& search, std::string_view piece, bool invert) {
  std::vector<Part> parts;
  std::size_t done = 0;
  search.for_each(piece, [&](Regex::Span match) {
    if (match.begin > done) parts.push_back({done, match.begin, invert});
    parts.push_back({match.begin, match.end, !invert});
    done = match.end;
  });
  if (done < piece.size()) parts.push_back({done, piece.size(), invert});
  return parts;
}

// Joins each match to the part before it, unless that one is a match too.
std::vector<Part> merge_with_previous(const std::vector<Part>& parts) {
  std::vector<Part> out;
  bool previous_matched = false;
  for (const Part& part : parts) {
    if (part.matched && !previous_matched && !out.empty()) {
      out.back().end = part.end;
    } else {
      out.push_back(part);
    }
    previous_matched = part.matched;
  }
  return out;
}

std::vector<Part> merge_with_next(const std::vector<Part>& parts) {
  std::vector<Part> out;
  bool previous_matched = false;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (part->matched && !previous_matched && !out.empty()) {
      out.back().begin = part->begin;
    } else {
      out.push_back(*part);
    }
    previous_matched = part->matched;
  }
  std::ranges::reverse(out);
  return out;
}

std::vector<Part> merge_equals(const std::vector<Part>& parts) {
  std::vector<Part> out;
  for (const Part& part : parts) {
    if (!out.empty() && out.back().matched == part.matched) {
      out.back().end = part.end;
    } else {
      out.push_back(part);
    }
  }
  return out;
}

std::vector<Part> behave(std::vector<Part> parts, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::removed:
      std::erase_if(parts, &Part::matched);
      return parts;
    case SplitBehavior::isolated:
      return parts;
    case SplitBehavior::merged_with_previous:
      return merge_with_previous(parts);
    case SplitBehavior::merged_with_next:
      return merge_with_next(parts);
    case SplitBehavior::contiguous:
      return merge_equals(parts);
  }
  return parts;
}

// Characters of the class apart from others.
PreTokenizerStep isolate(const UnicodeClasses& classes, std::uint8_t bit, bool individual) {
  return [&classes, bit, individual](Pieces& pieces) {
    cut_pieces(pieces, [&](std::string_view piece, auto add) {
      bool previous = false;
      for (std::size_t at = 0; at < piece.size();) {
        const auto [c, length] = decode_utf8(piece, at);
        const bool numeric = (classes(c) & bit) != 0;
        if (at > 0 && (numeric != previous || (numeric && individual))) add(at);
        previous = numeric;
        at += length;
      }
      add(piece.size());
    });
  };
}

}  // namespace

PreTokenizerStep word_step(WordPattern pattern) {
  return [pattern](Pieces& pieces) {
    cut_pieces(pieces, [&](std::string_view piece, auto add) {
      for (std::size_t at = 0; at < piece.size();) add(at = pattern.next(piece, at));
    });
  };
}

PreTokenizerStep split_step(Regex pattern, SplitBehavior behavior, bool invert) {
  const auto regex = std::make_shared<const Regex>(std::move(pattern));
  return [=](Pieces& pieces) {
    Regex::Search search(*regex);
    Pieces out{{}, {}, pieces.at_start};
    for_each_piece(pieces, [&](std::string_view piece, std::size_t index) {
      for (const Part& part : behave(find_parts(search, piece, invert), behavior)) {
        if (part.begin == part.end) continue;
        if (out.ends.empty() && (index > 0 || part.begin > 0)) out.at_start = false;
        out.text.append(piece.substr(part.begin, part.end - part.begin));
        out.ends.push_back(out.text.size());
      }
    });
    pieces = std::move(out);
  };
}

PreTokenizerStep digits_step(bool individual) {
  return isolate(UnicodeClasses::get(), CharClass::numeric, individual);
}

PreTokenizerStep numbers_step(const UnicodeClasses& classes) {
  return isolate(classes, CharClass::number, /*individual=*/true);
}

PreTokenizerStep digit_groups_step(const UnicodeClasses& classes) {
  return [&classes](Pieces& pieces) {
    cut_pieces(pieces, [&](std::string_view piece, auto add) {
      std::vector<std::size_t> ends;  // of the numbers of a run
      std::size_t last = 0;
      const auto add_run = [&] {
        for (std::size_t i = 0; i < ends.size(); ++i) {
          if ((ends.size() - 1 - i) % 3 == 0) add(last = ends[i]);
        }
        ends.clear();
      };
      for (std::size_t at = 0; at < piece.size();) {
        const auto [c, length] = decode_utf8(piece, at);
        at += length;
        if ((classes(c) & CharClass::number) != 0) {
          ends.push_back(at);
        } else {
          add_run();
        }
      }
      add_run();
      if (last < piece.size()) add(piece.size());
    });
  };
}

PreTokenizerStep prefix_space_step() {
  return [](Pieces& pieces) {
    Pieces out{{}, {}, pieces.at_start};
    for_each_piece(pieces, [&](std::string_view piece, std::size_t) {
      if (piece.front() != ' ') out.text += ' ';
      out.text += piece;
      out.ends.push_back(out.text.size());
    });
    pieces = std::move(out);
  };
}

PreTokenizerStep metaspace_step(std::string replacement, PrependScheme scheme, bool split) {
  return [=](Pieces& pieces) {
    Pieces out{{}, {}, pieces.at_start};
    for_each_piece(pieces, [&](std::string_view piece, std::size_t index) {
      const bool prepends = scheme == PrependScheme::always ||
                            (scheme == PrependScheme::first && index == 0 && pieces.at_start);
      const std::size_t begin = out.text.size();
      if (prepends && piece.front() != ' ' && !piece.starts_with(replacement))
        out.text += replacement;
      for (const char c : piece) {
        if (c == ' ') {
          out.text += replacement;
        } else {
          out.text += c;
        }
      }
      if (split) {
        for (auto at = out.text.find(replacement, begin + 1); at != std::string::npos;
             at = out.text.find(replacement, at + 1)) {
          out.ends.push_back(at);
        }
      }
      out.ends.push_back(out.text.size());
    });
    pieces = std::move(out);
  };
}

Pieces PreTokenizer::operator()(std::string text, bool at_start) const {
  Pieces pieces{std::move(text), {}, at_start};
  if (!pieces.text.empty()) pieces.ends.push_back(pieces.text.size());
  for (const auto& step : steps_) step(pieces);
  return pieces;
}

}  // namespace tovamill
