#include "engine/tokenizer_files/post_processor.h"

#include "engine/tokenizer/tokenizer_json.h"

namespace tovamill {
namespace {

using nlohmann::json;

class ProcessorReader {
 public:
  ProcessorReader(const Vocabulary& vocabulary, const std::string& where)
      : vocabulary_(vocabulary), where_(where) {}

  PostProcessor take() { return std::move(out_); }

  void add(const json& processor, int depth) {
    const std::string type = string_field(processor, "type", where_);
    if (type == "ByteLevel") return;
    if (type == "Sequence" && depth < 8) {
      const json& processors = field(processor, "processors");
      if (!processors.is_array()) refuse(where_, "'processors' is not an array");
      for (const json& inner : processors) add(inner, depth + 1);
    } else if (type == "TemplateProcessing") {
      add_template(processor);
    } else if (type == "RobertaProcessing" || type == "BertProcessing") {
      surround({pair_id(field(processor, "cls"), "cls")},
               {pair_id(field(processor, "sep"), "sep")});
    } else {
      refuse(where_, "the post-processor " + in_quotes(type) +
                         " is not supported (TemplateProcessing, RobertaProcessing, "
                         "BertProcessing, ByteLevel and Sequence are)");
    }
  }

 private:
  // `tokenizers` takes what one put there for another text, and the next one's template for pairs.
  void surround(std::vector<TokenId> before, std::vector<TokenId> behind) {
    if (has_tokens_)
      refuse(where_, "a Sequence of several post-processors with tokens is not supported");
    has_tokens_ = true;
    out_ = {std::move(before), std::move(behind)};
  }

  TokenId checked(const json& value, const std::string& what) const {
    const TokenId id = id_value(value, what, where_);
    if (static_cast<std::size_t>(id) >= vocabulary_.contents.size())
      refuse(where_, "the id " + std::to_string(id) + " of " + what + " is beyond the vocabulary");
    return id;
  }

  // ["content", id]
  TokenId pair_id(const json& pair, const char* key) const {
    if (!pair.is_array() || pair.size() != 2)
      refuse(where_, std::string("the post-processor's '") + key + "' is not a token and its id");
    return checked(pair[1], std::string("the post-processor's ") + key);
  }

  // Those that the template's 'special_tokens' give, or else the vocabulary.
  std::vector<TokenId> ids_of(const std::string& name, const json& special_tokens) const {
    const json& ids = field(field(special_tokens, name.c_str()), "ids");
    if (ids.is_null() && vocabulary_.find(name) != kNoToken) return {vocabulary_.find(name)};
    if (!ids.is_array() || ids.empty())
      refuse(where_, "the template's token " + in_quotes(name) + " has no ids in 'special_tokens'");
    std::vector<TokenId> out;
    for (const json& id : ids) out.push_back(checked(id, "the template's " + in_quotes(name)));
    return out;
  }

  void add_template(const json& processor) {
    const json& single = field(processor, "single");
    if (!single.is_array()) refuse(where_, "the template 'single' is not an array");
    std::vector<TokenId> before, behind;
    int n_texts = 0;
    for (const json& piece : single) {
      if (const json& sequence = field(piece, "Sequence"); sequence.is_object()) {
        if (field(sequence, "id") != "A" || ++n_texts > 1)
          refuse(where_, "the template 'single' holds another text than one A");
        continue;
      }
      const std::string name = string_field(field(piece, "SpecialToken"), "id", where_);
      for (const TokenId id : ids_of(name, field(processor, "special_tokens")))
        (n_texts == 0 ? before : behind).push_back(id);
    }
    if (n_texts == 0) refuse(where_, "the template 'single' leaves the text out");
    surround(std::move(before), std::move(behind));
  }

  const Vocabulary& vocabulary_;
  const std::string& where_;
  PostProcessor out_;
  bool has_tokens_ = false;
};

}  // namespace

PostProcessor read_post_processor(const json& processor, const Vocabulary& vocabulary,
                                  const std::string& where) {
  const std::string place = where + ", post_processor";
  ProcessorReader reader(vocabulary, place);
  if (!processor.is_null()) reader.add(processor, 0);
  return reader.take();
}

}  // namespace tovamill
