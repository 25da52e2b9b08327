#include "io/corpus/questions.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace tovamill {
namespace {

using nlohmann::json;

bool fail(CorpusRecord& record, const char* reason, const std::string& key,
          const std::string& what) {
  record.failure_reason = reason;
  record.failure_text = "the key '" + key + "' " + what;
  return false;
}

json value_of(const std::string& text) {
  return text.empty() ? json() : json::parse(text, nullptr, false);
}

// A string, or a list of strings; false where it is neither.
bool read_texts(const json& value, std::vector<std::string>& texts) {
  if (value.is_string()) {
    texts.push_back(value.get<std::string>());
    return true;
  }
  if (!value.is_array()) return false;
  for (const json& each : value) {
    if (!each.is_string()) return false;
    texts.push_back(each.get<std::string>());
  }
  return true;
}

}  // namespace

bool read_questions(const std::string& questions, const std::string& references,
                    const CorpusOptions& options, CorpusRecord& record) {
  const json asked = value_of(questions), expected = value_of(references);
  if (!asked.is_null()) {
    if (!read_texts(asked, record.questions))
      return fail(record, "bad-question", options.question_key,
                  "is neither a string nor a list of strings: see --question-key");
    record.has_question_list = asked.is_array();
    for (const std::string& question : record.questions) {
      if (question.empty())
        return fail(record, "bad-question", options.question_key, "holds an empty question");
    }
    if (record.questions.empty())
      return fail(record, "bad-question", options.question_key, "is an empty list");
  }
  if (expected.is_null()) return true;
  const char* wrong = "is neither a string nor a list of strings: see --reference-key";
  const bool has_lists =
      expected.is_array() && std::any_of(expected.begin(), expected.end(),
                                         [](const json& each) { return each.is_array(); });
  const bool is_for_several = options.only_references ? has_lists : record.has_question_list;
  if (!is_for_several) {
    record.references.emplace_back();
    return read_texts(expected, record.references.back()) ||
           fail(record, "bad-reference", options.reference_key, wrong);
  }
  if (!options.only_references &&
      (!expected.is_array() || expected.size() != record.questions.size()))
    return fail(record, "bad-reference", options.reference_key,
                "is not a list of one entry for each of the " +
                    std::to_string(record.questions.size()) + " questions");
  for (const json& each : expected) {
    record.references.emplace_back();
    if (!read_texts(each, record.references.back()))
      return fail(record, "bad-reference", options.reference_key,
                  "has an entry that is neither a string nor a list of strings");
  }
  return true;
}

}  // namespace tovamill
