// How near a text is to a reference: ROUGE (Lin 2004) as Google's `rouge-score` computes it, token
// F1 and exact match with SQuAD's normalisation (Rajpurkar et al. 2016).
#pragma once

#include <string_view>

namespace tovamill {

// Each in [0, 1]. Where both texts have no token, rouge* are 0, as in the package, and token_f1 and
// exact_match are 1, as in SQuAD's evaluate-v2.0.py.
struct TextMetrics {
  double rouge1 = 0.0, rouge2 = 0.0, rouge_l = 0.0;  // F-measures
  double token_f1 = 0.0, exact_match = 0.0;
};

// `stems`: words of ROUGE are stemmed (Porter, as in NLTK) where they have more than 3 letters.
// Both texts are valid UTF-8. Time: O(n m) for ROUGE-L of n and m words.
TextMetrics text_metrics(std::string_view text, std::string_view reference, bool stems);

}  // namespace tovamill
