#include "pipeline/results/generation_json.h"

#include "pipeline/results/generation_datasets.h"

namespace tovamill {

using Json = nlohmann::ordered_json;

namespace {

Json object_at(const TextPlace& place) {
  Json object{{"id", place.id}, {"file", place.file}};
  if (place.line) object["line"] = *place.line;
  object["offset"] = place.offset;
  return object;
}

}  // namespace

Json generation_object(const TextPlace& place, const Generation& g, bool with_ids) {
  Json object = object_at(place);
  if (!g.question_text.empty()) object["question"] = without_nul(g.question_text);
  object["question_index"] = g.question;
  object["sample"] = g.sample;
  object["prompt_tokens"] = g.n_prompt_tokens;
  object["new_tokens"] = g.n_new_tokens;
  object["finish_reason"] = name_of(g.finish_reason);
  object["text"] = without_nul(g.text);
  for (const std::string& reference : g.references)
    object["references"].push_back(without_nul(reference));
  if (g.scores) {
    for (std::size_t i = 0; i < kTextScoreNames.size(); ++i)
      object[kTextScoreNames[i]] = g.scores->best[i];
    for (std::size_t i = 0; i < kTextScoreNames.size(); ++i)
      object[std::string(kTextScoreNames[i]) + "_mean"] = g.scores->mean[i];
  }
  object["prompt_hash"] = g.prompt_hash;
  if (with_ids) object["token_ids"] = g.ids;
  return object;
}

Json failure_object(const TextPlace& place, const std::string& reason, const std::string& text) {
  Json object = object_at(place);
  object["status"] = "failed";
  object["failure_reason"] = reason;
  object["failure_text"] = text;
  return object;
}

std::string json_line(const Json& object) {
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tovamill
