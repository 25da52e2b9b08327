#include "jobs/option_descriptions.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <memory>
#include <sstream>

#include "workers/option_text.h"

namespace tovamill {
namespace {

namespace po = boost::program_options;

constexpr unsigned kHelpColumns = 80;

// What --help shows for the argument of a field.
template <class Field>
std::string argument_name(std::string_view name, const Field&) {
  if (name == "stop") return "TEXT";
  if (name == "prompt" || name == "stream-jsonl") return "FILE";
  if (kIsList<Field>) return "PATH...";
  if (name == "model" || name == "out") return "PATH";
  if (name == "memory-budget" || name == "max-record-bytes") return "BYTES";
  if (name == "part") return "I/N";
  if (name == "glob") return "PATTERN";
  if (name.ends_with("-key")) return "KEY";
  if (std::is_integral_v<Field>) return "N";
  if (std::is_floating_point_v<Field>) return "X";
  return "NAME";
}

// " [512]", or nothing for a list, a flag or an empty text.
template <class Field>
std::string default_note(const Field& field) {
  if constexpr (kIsList<Field> || kIsFlag<Field>) {
    return "";
  } else {
    constexpr std::uint64_t gib = 1u << 30;
    std::string text = text_of(field);
    if constexpr (std::is_same_v<std::remove_const_t<Field>, std::uint64_t>) {
      if (field != 0 && field % gib == 0) text = std::to_string(field / gib) + "G";
    }
    return text.empty() ? "" : " [" + text + "]";
  }
}

// without a value.
po::value_semantic* flag_semantic(Purpose purpose) {
  auto* value = po::value<std::string>();
  return purpose == Purpose::help ? value->zero_tokens() : value;
}

template <class Field>
po::value_semantic* semantic_of(std::string_view name, const Field& field, Purpose purpose) {
  if constexpr (kIsList<Field>) {
    return po::value<std::vector<std::string>>()->multitoken()->value_name(
        argument_name(name, field));
  } else if constexpr (kIsFlag<Field>) {
    return flag_semantic(purpose);
  } else {
    return po::value<std::string>()->value_name(argument_name(name, field));
  }
}

std::unique_ptr<po::options_description> describe_group(const OptionGroup& group,
                                                        const RunOptions& defaults,
                                                        Purpose purpose) {
  auto description =
      std::make_unique<po::options_description>(group.title, kHelpColumns, kHelpColumns / 2);
  for (const std::string& wanted : group.names) {
    visit_fields(defaults, [&](std::string_view name, const auto& field, Effect, const char* help) {
      if (name != wanted) return;
      description->add_options()(wanted.c_str(), semantic_of(name, field, purpose),
                                 (help + default_note(field)).c_str());
    });
  }
  return description;
}

}  // namespace

po::options_description describe_options(const Command& command, Purpose purpose) {
  po::options_description all(kHelpColumns, kHelpColumns / 2);
  for (const OptionGroup& group : command.groups)
    all.add(*describe_group(group, command.defaults, purpose));
  po::options_description others("Other options", kHelpColumns, kHelpColumns / 2);
  for (const ExtraOption& extra : command.extras) {
    const std::string note =
        extra.initial.empty() || extra.argument.empty() ? "" : " [" + extra.initial + "]";
    po::value_semantic* semantic = extra.argument.empty()
                                       ? flag_semantic(purpose)
                                       : po::value<std::string>()->value_name(extra.argument);
    others.add_options()(extra.name.c_str(), semantic, (extra.help + note).c_str());
  }
  if (!command.groups.empty()) {
    others.add_options()("config", po::value<std::string>()->value_name("FILE"),
                         "read options from an INI file; the command line wins");
    others.add_options()("print-config", po::bool_switch(),
                         "print all options that hold as an INI file, and stop");
  }
  if (command.is_run) {
    others.add_options()("check", po::bool_switch(),
                         "find what is wrong with options, model, corpus and run directory, and "
                         "stop before anything is made");
  }
  others.add_options()(purpose == Purpose::help ? "help" : "help,h", po::bool_switch(),
                       "print this help, and stop");
  all.add(others);
  return all;
}

bool takes(const Command& command, std::string_view name) {
  return std::any_of(command.groups.begin(), command.groups.end(), [&](const OptionGroup& group) {
    return std::find(group.names.begin(), group.names.end(), name) != group.names.end();
  });
}

std::vector<std::string> option_names(const Command& command) {
  std::vector<std::string> names;
  for (const OptionGroup& group : command.groups)
    names.insert(names.end(), group.names.begin(), group.names.end());
  for (const ExtraOption& extra : command.extras) names.push_back(extra.name);
  if (!command.groups.empty()) names.insert(names.end(), {"config", "print-config"});
  if (command.is_run) names.emplace_back("check");
  names.push_back("help");
  return names;
}

std::vector<std::string> flag_names(const Command& command) {
  std::vector<std::string> names;
  const RunOptions defaults;
  visit_fields(defaults, [&](std::string_view name, const auto& field, Effect, const char*) {
    if (kIsFlag<std::remove_reference_t<decltype(field)>> && takes(command, name))
      names.emplace_back(name);
  });
  for (const ExtraOption& extra : command.extras) {
    if (extra.argument.empty()) names.push_back(extra.name);
  }
  return names;
}

bool is_list(std::string_view wanted) {
  bool list = false;
  const RunOptions defaults;
  visit_fields(defaults, [&](std::string_view name, const auto& field, Effect, const char*) {
    if (name == wanted) list = kIsList<std::remove_reference_t<decltype(field)>>;
  });
  return list;
}

std::vector<std::string> field_names() {
  std::vector<std::string> names;
  const RunOptions defaults;
  visit_fields(defaults, [&](std::string_view name, const auto&, Effect, const char*) {
    names.emplace_back(name);
  });
  return names;
}

std::string help_text(const Command& command) {
  std::ostringstream options;
  options << describe_options(command, Purpose::help);
  std::string text =
      "Usage: tovamill " + command.name + " " + command.synopsis + "\n\n" + command.introduction;
  std::istringstream lines(options.str());
  for (std::string line; std::getline(lines, line);) {
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";  // wrapped lines end in blanks
  }
  return text + (command.examples.empty() ? "" : "\nExamples:\n" + command.examples);
}

std::string config_text(const Command& command, const RunOptions& options) {
  return "# tovamill " + command.name + " --config THIS_FILE\n" +
         config_lines(options, [&](std::string_view name) { return takes(command, name); });
}

}  // namespace tovamill