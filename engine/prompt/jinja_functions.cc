// Functions that every template has.
#include <array>

#include "engine/prompt/jinja_evaluator.h"
#include "kernels/types/printable.h"

namespace tovamill {
namespace {

constexpr std::array<const char*, 7> kDays{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                           "Thursday", "Friday", "Saturday"};
constexpr std::array<const char*, 12> kMonths{"January",   "February", "March",    "April",
                                              "May",       "June",     "July",     "August",
                                              "September", "October",  "November", "December"};
constexpr std::int64_t kDayS = 86'400;

std::string two_digits(std::int64_t number) {
  return (number < 10 ? "0" : "") + std::to_string(number);
}

// The Gregorian calendar, from the days since 1970-01-01.
struct CalendarDay {
  std::int64_t year, month, day, weekday, day_of_year;  // month and day from 1, Sunday is 0
};

CalendarDay calendar_day(std::int64_t days) {
  // Years from March on, in eras of 400 years (Hinnant, "chrono-Compatible Low-Level Date
  // Algorithms").
  const std::int64_t z = days + 719'468, era = (z >= 0 ? z : z - 146'096) / 146'097;
  const std::int64_t of_era = z - era * 146'097;
  const std::int64_t year = (of_era - of_era / 1'460 + of_era / 36'524 - of_era / 146'096) / 365;
  const std::int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
  const std::int64_t shifted = (5 * of_year + 2) / 153;
  const std::int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
  const std::int64_t civil = year + era * 400 + (month <= 2 ? 1 : 0);
  const bool leap = civil % 4 == 0 && (civil % 100 != 0 || civil % 400 == 0);
  const std::int64_t of_civil_year = month <= 2 ? of_year - 306 + 1 : of_year + 59 + leap + 1;
  return {civil, month, of_year - (153 * shifted + 2) / 5 + 1, ((days + 4) % 7 + 7) % 7,
          of_civil_year};
}

}  // namespace

// strftime() in the C locale.
JinjaValue JinjaEvaluator::date_text(const JinjaText& format, JinjaPlace place) {
  const CalendarDay at = calendar_day((date_ - ((date_ % kDayS) + kDayS) % kDayS) / kDayS);
  const std::int64_t second = ((date_ % kDayS) + kDayS) % kDayS;
  const std::string month = kMonths[static_cast<std::size_t>(at.month - 1)];
  const std::string weekday = kDays[static_cast<std::size_t>(at.weekday)];
  const std::string hour = two_digits(second / 3'600), minute = two_digits(second / 60 % 60);
  std::string out;
  const std::string pattern = to_utf8_of(format);
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%') {
      out += pattern[i];
      continue;
    }
    const bool bare = i + 1 < pattern.size() && pattern[i + 1] == '-';  // "%-d": no leading zero
    i += bare ? 2 : 1;
    const char kind = i < pattern.size() ? pattern[i] : ' ';
    const auto number = [&](std::int64_t n) { return bare ? std::to_string(n) : two_digits(n); };
    if (kind == 'd') {
      out += number(at.day);
    } else if (kind == 'm') {
      out += number(at.month);
    } else if (kind == 'H') {
      out += number(second / 3'600);
    } else if (kind == 'M') {
      out += number(second / 60 % 60);
    } else if (kind == 'S') {
      out += number(second % 60);
    } else if (bare) {
      refuse(place, "a date in the format " + printable(pattern));
    } else if (kind == 'Y') {
      out += std::to_string(at.year);
    } else if (kind == 'y') {
      out += two_digits(at.year % 100);
    } else if (kind == 'B') {
      out += month;
    } else if (kind == 'b' || kind == 'h') {
      out += month.substr(0, 3);
    } else if (kind == 'A') {
      out += weekday;
    } else if (kind == 'a') {
      out += weekday.substr(0, 3);
    } else if (kind == 'F') {
      out += std::to_string(at.year) + "-" + two_digits(at.month) + "-" + two_digits(at.day);
    } else if (kind == 'T') {
      out += hour + ":" + minute + ":" + two_digits(second % 60);
    } else if (kind == 'j') {
      out += (at.day_of_year < 100 ? "0" : "") + two_digits(at.day_of_year);
    } else if (kind == '%') {
      out += '%';
    } else {
      refuse(place, "a date in the format " + printable(pattern));
    }
  }
  return made_text(jinja_text(out), place);
}

JinjaValue JinjaEvaluator::range(const JinjaArguments& args, JinjaPlace place) {
  const std::size_t n = args.values.size();
  if (n < 1 || n > 3 || !args.named.empty()) refuse(place, "arguments of range()");
  const std::int64_t from = n > 1 ? whole_of(args.values[0], place) : 0;
  const std::int64_t to = whole_of(args.values[n > 1 ? 1 : 0], place);
  const std::int64_t step = n > 2 ? whole_of(args.values[2], place) : 1;
  if (step == 0) refuse(place, "range() with steps of 0");
  JinjaItems out;
  for (std::int64_t i = from; step > 0 ? i < to : i > to; i += step) {
    budget_.charge(4, place);
    out.emplace_back(i);
  }
  return made_list(std::move(out), place);
}

JinjaValue JinjaEvaluator::call_function(const std::string& name, const JinjaArguments& args,
                                         JinjaPlace place) {
  if (name == "range") return range(args, place);
  if (name == "strftime_now" && args.size() == 1)
    return date_text(text_of(*args.find(0, "format"), place), place);
  if (name == "raise_exception") {
    const bool said = !args.values.empty() && args.values[0].text() != nullptr;
    refuse(place,
           "it refuses the messages" +
               (said ? ": " + printable(to_utf8_of(*args.values[0].text())) : std::string()));
  }
  const bool is_space = name == "namespace";
  if ((is_space || name == "dict") && args.values.size() <= 1) {
    std::vector<std::pair<JinjaText, JinjaValue>> members;
    if (!args.values.empty()) {
      if (args.values[0].object() == nullptr)
        refuse(place, printable(name) + " of " + args.values[0].kind());
      members = args.values[0].object()->members;
    }
    for (const auto& [key, value] : args.named) members.emplace_back(jinja_text(key), value);
    budget_.charge(members.size() + 1, place);
    if (!is_space && !args.values.empty() && !args.named.empty())
      refuse(place, "dict() of an object and names");
    if (!is_space) return JinjaValue::object(std::move(members));
    JinjaNamespace& space = namespaces_.emplace_back();
    for (auto& [key, value] : members) {
      if (jinja_code_point(key.empty() ? U' ' : key[0]) == '_')
        refuse(place, "a field that begins with '_'");
      space.fields.insert_or_assign(to_utf8_of(key), std::move(value));
    }
    return &space;
  }
  refuse(place, "the function " + printable(name) + " is not known");
}

}  // namespace tovamill
