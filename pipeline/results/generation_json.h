// A generated text as a JSON object: the same in `tovamill export` and in the file of
// --stream-jsonl.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "pipeline/run_directory/document_record.h"

namespace tovamill {

// Which document a text belongs to.
struct TextPlace {
  std::string id, file;
  // 0 where there are no lines; nothing where it is not known: left out.
  std::optional<std::uint64_t> line;
  std::uint64_t offset = 0;
};

// {"id", "file", "line", "offset", "question" (only if there is one), "question_index", "sample",
// "prompt_tokens", "new_tokens", "finish_reason", "text", "references" (if any), "rouge1", ...,
// "exact_match", "rouge1_mean", ... (if scored), "prompt_hash", "token_ids" (`with_ids`)}. U+0000
// in texts is U+FFFD, as in results.h5.
nlohmann::ordered_json generation_object(const TextPlace& place, const Generation& generation,
                                         bool with_ids = false);

// {"id", "file", "line", "offset", "status": "failed", "failure_reason", "failure_text"}
nlohmann::ordered_json failure_object(const TextPlace& place, const std::string& reason,
                                      const std::string& text);

// On one line, without its end; bytes that are not UTF-8 become U+FFFD.
std::string json_line(const nlohmann::ordered_json& object);

}  // namespace tovamill
