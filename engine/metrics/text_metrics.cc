#include "engine/metrics/text_metrics.h"

#include "engine/metrics/rouge.h"
#include "engine/metrics/squad_metrics.h"

namespace tovamill {

TextMetrics text_metrics(std::string_view text, std::string_view reference, bool stems) {
  const auto [rouge1, rouge2, rouge_l] = rouge(text, reference, stems);
  const auto [token_f1, exact_match] = squad_scores(text, reference);
  return {rouge1, rouge2, rouge_l, token_f1, exact_match};
}

}  // namespace tovamill
