// Token F1 and exact match of answers (Rajpurkar et al. 2016), as SQuAD's evaluate-v2.0.py computes
// them; evaluate-v1.1.py differs for empty answers only.
#pragma once

#include <string>
#include <string_view>

namespace tovamill {

// Lower case as Python's str.lower(), without ASCII punctuation, without the words a, an, the
// (\b of Python's `re`), every run of white space (str.split()) one space and none at the ends.
std::string squad_normalize(std::string_view text);

struct SquadScores {
  // F1 of the words' multisets. Where one text has no words left: 1 where both have none, else 0.
  double token_f1 = 0.0;
  double exact_match = 0.0;  // 1 where the normalised texts are equal
};
// Both texts are valid UTF-8.
SquadScores squad_scores(std::string_view text, std::string_view reference);

}  // namespace tovamill
