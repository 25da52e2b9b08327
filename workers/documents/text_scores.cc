#include "workers/documents/text_scores.h"

#include <algorithm>

#include "engine/metrics/text_metrics.h"

namespace tovamill {

TextScores score_text(const std::string& text, const std::vector<std::string>& references,
                      bool stems) {
  TextScores scores;
  for (const std::string& reference : references) {
    const TextMetrics m = text_metrics(text, reference, stems);
    const std::array<double, 5> values{m.rouge1, m.rouge2, m.rouge_l, m.token_f1, m.exact_match};
    for (std::size_t i = 0; i < values.size(); ++i) {
      scores.best[i] = std::max(scores.best[i], values[i]);
      scores.mean[i] += values[i] / static_cast<double>(references.size());
    }
  }
  return scores;
}

}  // namespace tovamill
