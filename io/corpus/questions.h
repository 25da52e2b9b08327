// What a record of a .jsonl corpus asks, and what its answers are compared with.
#pragma once

#include <string>

#include "io/corpus/corpus.h"

namespace tovamill {

// Fills `questions`, `has_question_list` and `references` of `record` from the JSON values of its
// keys, each empty where the key is absent. False, with the record's failure set ("bad-question",
// "bad-reference"), where a value has none of the forms that corpus.h names. The JSON is valid.
bool read_questions(const std::string& questions, const std::string& references,
                    const CorpusOptions& options, CorpusRecord& record);

}  // namespace tovamill
