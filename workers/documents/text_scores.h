// How near a generated text is to its references.
#pragma once

#include <string>
#include <vector>

#include "pipeline/run_directory/document_record.h"

namespace tovamill {

// The metrics of engine/metrics/text_metrics.h, the highest and the mean over the references, of
// which there is at least one. `stems`: words of ROUGE are stemmed.
TextScores score_text(const std::string& text, const std::vector<std::string>& references,
                      bool stems);

}  // namespace tovamill
