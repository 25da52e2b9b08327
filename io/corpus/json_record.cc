// simdjson parses the line. A line that it refuses is parsed again by nlohmann's event parser,
// which says where the line is broken and accepts numbers beyond 64 bits.
#include "io/corpus/json_record.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <vector>

#include "io/files/utf8.h"

namespace tovamill {
namespace {

constexpr std::size_t kKeepParserBytes = 64u << 20;  // a parser that grew beyond this is replaced

const char* kNotAString = "is not a string";
constexpr std::size_t kMostLevels = 1024;  // of nesting: simdjson's limit
const char* kTooDeep = "nested too deeply (over 1024 levels)";

// Collects text and id from the events of the outermost object.
class SecondOpinion : public nlohmann::json_sax<nlohmann::json> {
 public:
  SecondOpinion(const std::string& text_key, const std::string& id_key)
      : text_key_(text_key), id_key_(id_key) {}

  bool null() override { return other(); }
  bool boolean(bool) override { return other(); }
  bool number_integer(number_integer_t v) override { return number(std::to_string(v)); }
  bool number_unsigned(number_unsigned_t v) override { return number(std::to_string(v)); }
  bool number_float(number_float_t, const string_t& written) override { return number(written); }
  bool binary(binary_t&) override { return other(); }
  bool string(string_t& v) override {
    if (at(text_key_)) text = v;
    if (at(id_key_)) id = v;
    return true;
  }
  bool start_object(std::size_t) override {
    other();
    if (depth_ == 0) is_object = true;
    return deeper();
  }
  bool end_object() override { return --depth_, true; }
  bool start_array(std::size_t) override {
    other();
    return deeper();
  }
  bool end_array() override { return --depth_, true; }
  bool key(string_t& v) override {
    if (depth_ == 1) key_ = v;
    if (at(text_key_)) has_text = true;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& e) override {
    error = e.what();
    error_position = position;
    return false;
  }

  bool is_object = false, has_text = false, is_too_deep = false;
  std::optional<std::string> text, id;
  std::string error;
  std::size_t error_position = 0;

 private:
  bool at(const std::string& wanted) const { return depth_ == 1 && is_object && key_ == wanted; }
  bool other() {
    if (at(text_key_)) text.reset();
    if (at(id_key_)) id.reset();
    return true;
  }
  // nlohmann writes the values that are taken out of the line by recursion.
  bool deeper() {
    is_too_deep = ++depth_ > kMostLevels;
    return !is_too_deep;
  }
  bool number(const std::string& written) {
    other();
    if (at(id_key_)) id = written;
    return true;
  }

  const std::string& text_key_;
  const std::string& id_key_;
  std::string key_;
  std::size_t depth_ = 0;
};

std::string shortest(double value) {
  char buffer[32];
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

// Where \uD800 to \uDFFF escapes without their other half begin.
std::vector<std::size_t> lone_surrogates(std::string_view line) {
  const auto unit = [&](std::size_t i) {  // of the escape \uXXXX at i, or -1
    unsigned value = 0;
    if (i + 6 > line.size() || line[i] != '\\' || line[i + 1] != 'u') return -1;
    const auto r = std::from_chars(line.data() + i + 2, line.data() + i + 6, value, 16);
    return r.ptr == line.data() + i + 6 ? static_cast<int>(value) : -1;
  };
  std::vector<std::size_t> places;
  for (std::size_t i = line.find('\\'); i != std::string_view::npos && i + 1 < line.size();
       i = line.find('\\', i)) {
    const int u = unit(i);
    const int low = u >= 0xd800 && u <= 0xdbff ? unit(i + 6) : 0;
    const bool is_pair = low >= 0xdc00 && low <= 0xdfff;
    if (u >= 0xd800 && u <= 0xdfff && !is_pair) places.push_back(i);
    i += is_pair ? 8 : 2;
  }
  return places;
}

// `line` with the character of four hexadecimal digits in their place.
std::string without_surrogates(std::string line, const std::vector<std::size_t>& places,
                               std::string_view digits) {
  for (const std::size_t at : places) line.replace(at + 2, digits.size(), digits);
  return line;
}

// The length of the number that begins at `i` and is beyond float64 (1e999), as the grammar of JSON
// allows; else 0.
std::size_t huge_number(std::string_view line, std::size_t i) {
  const bool begins = (line[i] >= '0' && line[i] <= '9') || line[i] == '-';
  if (!begins) return 0;
  const std::string_view text = line.substr(i, line.substr(i).find_first_not_of("+-.0123456789Ee"));
  const std::string_view digits = text.substr(text.front() == '-' ? 1 : 0);
  const std::size_t point = digits.find('.');
  const auto is_digit = [&](std::size_t at) {
    return at < digits.size() && digits[at] >= '0' && digits[at] <= '9';
  };
  if (!is_digit(0) || (digits[0] == '0' && is_digit(1)) ||
      (point != digits.npos && !is_digit(point + 1)))
    return 0;
  double value = 0.0;
  const auto r = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_whole = r.ptr == text.data() + text.size();
  return is_whole && r.ec == std::errc::result_out_of_range ? text.size() : 0;
}

// Python writes NaN, Infinity and -Infinity, which are no JSON, for values that are not there, and
// neither parser reads numbers beyond float64. `line` with null in their place; `shifted` gets
// where it grew by a byte. Nothing without them.
std::optional<std::string> with_nulls(std::string_view line, std::vector<std::size_t>& shifted) {
  const auto ends_value = [&](std::size_t i) {
    return i >= line.size() || std::string_view(",]} \t\r\n").find(line[i]) != line.npos;
  };
  const auto begins_value = [&](std::size_t i) {
    return i > 0 && std::string_view(":[, \t\r\n").find(line[i - 1]) != line.npos;
  };
  std::string out;
  bool in_string = false, any = false;
  for (std::size_t i = 0; i < line.size();) {
    if (in_string && line[i] == '\\') {
      out += line.substr(i, 2);
      i += 2;
      continue;
    }
    if (line[i] == '"') in_string = !in_string;
    std::size_t n = 0;
    for (const std::string_view constant : {"NaN", "Infinity", "-Infinity"}) {
      if (!in_string && line.substr(i).starts_with(constant) && ends_value(i + constant.size()))
        n = constant.size();
    }
    if (n == 0 && !in_string && begins_value(i)) n = huge_number(line, i);
    if (n == 0) {
      out += line[i++];
      continue;
    }
    out += "null";
    if (n > 4) out.append(n - 4, ' ');
    if (n < 4) shifted.push_back(out.size());
    i += n;
    any = true;
  }
  return any ? std::optional(std::move(out)) : std::nullopt;
}

}  // namespace

struct JsonRecordParser::Impl {
  std::string text_key, id_key, question_key, reference_key;
  bool wants_text = true;
  simdjson::dom::parser parser;

  JsonFields failed(const char* reason, std::string explanation) {
    JsonFields fields;
    fields.reason = reason;
    fields.explanation = std::move(explanation);
    return fields;
  }

  JsonFields finish(bool is_object, bool has_text, JsonFields fields) {
    const std::string key = "the key '" + text_key + "' ";
    if (!is_object) return failed("invalid-json", "the line is JSON but not an object");
    if (!wants_text) return fields;
    if (!has_text)
      fields.reason = "missing-key", fields.explanation = key + "is missing: see --text-key";
    else if (!fields.text)
      fields.reason = "not-a-string", fields.explanation = key + kNotAString;
    return fields;
  }

  // Of a line that simdjson refuses. Python reads a surrogate without its other half, too; only in
  // what is read here it fails the record: there the two readings differ.
  JsonFields parse_refused(const std::string& line) {
    if (const std::vector<std::size_t> lone = lone_surrogates(line); !lone.empty()) {
      JsonFields fields = parse_refused(without_surrogates(line, lone, "fffd"));
      if (fields == parse_refused(without_surrogates(line, lone, "fffe"))) return fields;
      return failed("invalid-utf8",
                    "a surrogate escape (\\ud800 to \\udfff) without its other half");
    }
    std::vector<std::size_t> shifted;
    if (std::optional<std::string> plain = with_nulls(line, shifted)) {
      plain->reserve(plain->size() + simdjson::SIMDJSON_PADDING);
      simdjson::dom::element root;
      if (!parser.parse(plain->data(), plain->size(), false).get(root)) return fields_of(root);
      return slow_parse(*plain, shifted);
    }
    return slow_parse(line, shifted);
  }

  // `shifted`: where bytes were added.
  JsonFields slow_parse(const std::string& line, const std::vector<std::size_t>& shifted) {
    SecondOpinion events(text_key, id_key);
    const bool is_whole = nlohmann::json::sax_parse(line, &events);
    if (events.is_too_deep) return failed("invalid-json", kTooDeep);
    if (!is_whole) {
      const auto n_added = std::count_if(shifted.begin(), shifted.end(), [&](std::size_t at) {
        return at <= events.error_position;
      });
      return failed("invalid-json",
                    "broken JSON at byte " +
                        std::to_string(events.error_position - static_cast<std::size_t>(n_added)) +
                        " of the line");
    }
    JsonFields fields;
    fields.id = std::move(events.id);
    fields.text = std::move(events.text);
    if (!question_key.empty() || !reference_key.empty()) {
      const nlohmann::json root = nlohmann::json::parse(line, nullptr, false);
      const auto value_of = [&](const std::string& key) {
        return key.empty() || !root.is_object() || !root.contains(key) ? std::string()
                                                                       : root[key].dump();
      };
      fields.questions = value_of(question_key);
      fields.references = value_of(reference_key);
    }
    return finish(events.is_object, events.has_text, std::move(fields));
  }

  JsonFields parse(std::string& line) {
    if (const std::size_t good = valid_utf8_prefix(line); good < line.size())
      return failed("invalid-utf8",
                    "not valid UTF-8 at byte " + std::to_string(good + 1) + " of the line");
    if (parser.capacity() > kKeepParserBytes && line.size() < kKeepParserBytes)
      parser = simdjson::dom::parser();
    line.reserve(line.size() + simdjson::SIMDJSON_PADDING);
    simdjson::dom::element root;
    const simdjson::error_code error = parser.parse(line.data(), line.size(), false).get(root);
    if (error == simdjson::DEPTH_ERROR) return failed("invalid-json", kTooDeep);
    return error ? parse_refused(line) : fields_of(root);
  }

  JsonFields fields_of(const simdjson::dom::element& root) {
    simdjson::dom::object object;
    if (root.get(object)) return finish(false, false, {});
    JsonFields fields;
    bool has_text = false;
    for (const auto& [key, value] : object) {
      std::string_view string;
      const bool is_string = !value.get(string);
      if (key == text_key) {
        has_text = true;
        fields.text = is_string ? std::optional<std::string>(string) : std::nullopt;
      }
      if (!question_key.empty() && key == question_key) fields.questions = simdjson::minify(value);
      if (!reference_key.empty() && key == reference_key)
        fields.references = simdjson::minify(value);
      if (key == id_key)
        fields.id = is_string ? std::optional<std::string>(string) : number_in(value);
    }
    return finish(true, has_text, std::move(fields));
  }

  static std::optional<std::string> number_in(const simdjson::dom::element& value) {
    std::int64_t i = 0;
    std::uint64_t u = 0;
    double d = 0;
    if (value.type() == simdjson::dom::element_type::DOUBLE) {
      if (!value.get(d)) return shortest(d);
      return std::nullopt;
    }
    if (!value.get(i)) return std::to_string(i);
    if (!value.get(u)) return std::to_string(u);
    return std::nullopt;
  }
};

JsonRecordParser::JsonRecordParser(const CorpusOptions& options) : impl_(new Impl) {
  impl_->text_key = options.text_key;
  impl_->id_key = options.id_key;
  impl_->question_key = options.question_key;
  impl_->reference_key = options.reference_key;
  impl_->wants_text = !options.only_references;
}
JsonRecordParser::~JsonRecordParser() = default;

JsonFields JsonRecordParser::parse(std::string& line) { return impl_->parse(line); }

}  // namespace tovamill
